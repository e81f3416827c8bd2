"""Reads SQuAD v1.1 and v2 files, and scores answers as the official scripts do.

An answer and the gold answers are normalized: lower case, no ASCII punctuation, no articles, single
spaces. The score of a question is the best one over its gold answers. In v2 a context may have no
answer; the empty answer is then the right one.
"""

from __future__ import annotations

import gzip
import json
import lzma
import re
import string
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_OPENERS: dict[str, Callable[..., Any]] = {".xz": lzma.open, ".gz": gzip.open}


class SquadFormatError(ValueError):
    """A file is neither SQuAD v1.1 nor v2; the message names the place."""


@dataclass(frozen=True, slots=True)
class SquadQuestion:
    """One question of a SQuAD file."""

    id: str
    question: str
    context: str
    gold_answers: tuple[str, ...]
    """Empty if the context has no answer."""
    is_impossible: bool | None = None
    """Whether the context has no answer; None in SQuAD v1.1, which lacks this field."""


def score(question: SquadQuestion, prediction: str) -> tuple[float, float]:
    """Exact match and F1, each from 0 to 1, by the script of the question's SQuAD version.

    The scripts differ in empty answers. v2 drops gold answers that normalization empties, uses ""
    if none is left, and gives an empty prediction for it full F1.
    """
    golds = question.gold_answers
    if question.is_impossible is None:
        return exact_match(prediction, golds), f1_score(prediction, golds)
    golds = tuple(gold for gold in golds if normalize_answer(gold)) or ("",)
    exact = exact_match(prediction, golds)
    return exact, max(exact, f1_score(prediction, golds))


def normalize_answer(text: str) -> str:
    """Lower-cases, then removes punctuation, articles and redundant white space, in this order."""
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, gold_answers: Iterable[str]) -> float:
    """1.0 if the normalized prediction equals a normalized gold answer, otherwise 0.0."""
    wanted = normalize_answer(prediction)
    return float(any(normalize_answer(gold) == wanted for gold in gold_answers))


def f1_score(prediction: str, gold_answers: Iterable[str]) -> float:
    """Best harmonic mean of token precision and recall over the gold answers, from 0 to 1."""
    predicted = normalize_answer(prediction).split()
    return max((_token_f1(predicted, normalize_answer(g).split()) for g in gold_answers), default=0)


def _token_f1(predicted: list[str], gold: list[str]) -> float:
    common = (Counter(predicted) & Counter(gold)).total()
    if common == 0:
        return 0.0
    precision = common / len(predicted)
    recall = common / len(gold)
    return 2 * precision * recall / (precision + recall)


def read_questions(path: Path) -> list[SquadQuestion]:
    """Reads a SQuAD v1.1 or v2 file, compressed if its name ends in ``.xz`` or ``.gz``.

    Raises:
        OSError: The file cannot be read.
        SquadFormatError: The file cannot be decompressed, or is neither SQuAD v1.1 nor v2.
    """
    try:
        with _OPENERS.get(path.suffix, open)(path, "rb") as file:
            document = json.loads(file.read())
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SquadFormatError(f"cannot be decompressed: {error}") from error
    except (ValueError, RecursionError) as error:
        raise SquadFormatError(f"is not JSON: {error}") from error
    questions = list(_parse(document))
    repeated = [name for name, count in Counter(q.id for q in questions).items() if count > 1]
    if repeated:
        raise SquadFormatError(f"holds the id {repeated[0]!r} more than once")
    return questions


def _parse(document: object) -> Iterator[SquadQuestion]:
    for article, where in _items(document, "data", ""):
        for paragraph, inner in _items(article, "paragraphs", where):
            context = _string(paragraph, "context", inner)
            for entry, place in _items(paragraph, "qas", inner):
                yield _question(entry, context, place)


def _question(entry: object, context: str, where: str) -> SquadQuestion:
    golds = tuple(_string(gold, "text", place) for gold, place in _items(entry, "answers", where))
    impossible = entry.get("is_impossible") if isinstance(entry, dict) else None
    if impossible is not None and not isinstance(impossible, bool):
        raise SquadFormatError(f"{where}is_impossible is not true or false")
    if golds and impossible:
        raise SquadFormatError(f"{where}answers has some, but is_impossible is true")
    if not golds and not impossible:
        raise SquadFormatError(f"{where}answers is empty, but is_impossible is not true")
    return SquadQuestion(
        id=_string(entry, "id", where),
        question=_string(entry, "question", where),
        context=context,
        gold_answers=golds,
        is_impossible=impossible,
    )


def _items(parent: object, key: str, where: str) -> Iterator[tuple[object, str]]:
    value = _member(parent, key, where)
    if not isinstance(value, list):
        raise SquadFormatError(f"{where}{key} is not a list")
    for index, item in enumerate(value):
        yield item, f"{where}{key}[{index}]."


def _string(parent: object, key: str, where: str) -> str:
    value = _member(parent, key, where)
    if not isinstance(value, str):
        raise SquadFormatError(f"{where}{key} is not a string")
    return value


def _member(parent: object, key: str, where: str) -> object:
    if not isinstance(parent, dict) or key not in parent:
        raise SquadFormatError(f"{where}{key} is missing")
    return parent[key]
