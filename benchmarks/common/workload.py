"""The questions that benchmarks ask: SQuAD's, and a mix with documents of up to 100 windows."""

import argparse
import math
import random
import sys
from pathlib import Path
from typing import TypeVar

from benchmarks.common.squad import SQUAD_DEV, how_to_get
from spanqa.squad import Question, SquadFormatError, read_questions
from spanqa.v1 import question_answering_pb2 as pb

# Windows of a document, and how many of a hundred documents have so many.
LONG_TAIL = {1: 80, 2: 8, 5: 6, 20: 4, 100: 2}
CHARACTERS_OF_A_WINDOW = 1060

Number = TypeVar("Number", int, float)


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    return _above_zero(float, text)


def positive_count(text: str) -> int:
    """A whole number above 0, for argparse."""
    return _above_zero(int, text)


def _above_zero(kind: type[Number], text: str) -> Number:
    try:
        value = kind(text)
    except ValueError:
        value = kind(0)
    if not 0 < value < math.inf:
        whole = "whole " if kind is int else ""
        raise argparse.ArgumentTypeError(f"{text!r} is not a {whole}number above 0")
    return value


def make_parser(documentation: str | None) -> argparse.ArgumentParser:
    """A parser for a script with this docstring; the caller may name a SQuAD file."""
    parser = argparse.ArgumentParser(description=(documentation or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=SQUAD_DEV, help="SQuAD v1.1 JSON file, .xz and .gz too"
    )
    return parser


def squad_mix(data: Path, count: int, seed: int = 0) -> list[pb.AnswerRequest]:
    """`count` questions evenly spread over a SQuAD file, in an order that mixes articles.

    Another seed gives other questions, where there are more than `count`, in another order.
    """
    every = squad_in_order(data)
    chosen = [every[(at * len(every) // count + seed) % len(every)] for at in range(count)]
    random.Random(seed).shuffle(chosen)
    return chosen


def squad_in_order(data: Path) -> list[pb.AnswerRequest]:
    """All questions of a SQuAD file as it has them: those about one context together."""
    return [pb.AnswerRequest(question=one.question, context=one.context) for one in questions(data)]


def questions(data: Path) -> list[Question]:
    """The questions of a SQuAD file; exits with a remedy where there are none."""
    if not data.is_file():
        sys.exit(how_to_get(data))
    try:
        return read_questions(data)
    except SquadFormatError as error:
        sys.exit(f"{error}; `make data DATA={data}` checks a file")


def lengths_mix(data: Path, count: int) -> dict[str, list[pb.AnswerRequest]]:
    """SQuAD's paragraphs, some 600 tokens, and 177 to 2,329 words."""
    source = random.Random(0)
    short = squad_mix(data, count)
    contexts = list(dict.fromkeys(one.context for one in questions(data)))
    source.shuffle(contexts)
    words = " ".join(contexts).split()

    def of(count: int) -> str:
        begin = source.randrange(len(words) - count)
        return " ".join(words[begin : begin + count])

    def requests(fewest: int, most: int) -> list[pb.AnswerRequest]:
        return [
            pb.AnswerRequest(question=one.question, context=of(source.randint(fewest, most)))
            for one in short
        ]

    return {
        "paragraphs": short,
        "600 tokens": requests(440, 480),
        "177 to 2,329 words": requests(177, 2329),
    }


def long_tail_mix(data: Path, count: int, seed: int = 0) -> list[pb.AnswerRequest]:
    """SQuAD questions about documents of 1 to about 100 windows, most of them short.

    From 25 questions on, each size is there.
    """
    source = random.Random(seed + 1)
    asked = squad_mix(data, count, seed)
    contexts = list(dict.fromkeys(question.context for question in questions(data)))
    requests = []
    for request, windows in zip(asked, tail_sizes(count, source), strict=True):
        parts = [request.context]
        while sum(map(len, parts)) < windows * CHARACTERS_OF_A_WINDOW and windows > 1:
            parts.append(source.choice(contexts))
        source.shuffle(parts)
        requests.append(pb.AnswerRequest(question=request.question, context="\n".join(parts)))
    return requests


def tail_sizes(count: int, source: random.Random) -> list[int]:
    """Windows of `count` documents in the shares of `LONG_TAIL`, shuffled."""
    hundred = [windows for windows, share in LONG_TAIL.items() for _ in range(share)]
    sizes = [hundred[(2 * at + 1) * 100 // (2 * count)] for at in range(count)]
    source.shuffle(sizes)
    return sizes


MIXES = {"squad": squad_mix, "long-tail": long_tail_mix}
