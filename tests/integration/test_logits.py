"""ComputeLogits: enough for a caller to find the answers alone, and exactly those of Answer."""

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from parity.conftest import require_squad
from parity.reference import Pair, squad_pairs
from parity.texts import QUESTIONS, article, generated, pairs
from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import UNITS, cut, refused, violations

Say = Callable[[str], None]
Span = tuple[int, int, float, float]
TOP_K, SAME_SCORE, SAME_PROBABILITY = 5, 1e-4, 1e-6
CONTEXT = "Marie Curie was born in Warsaw in 1867. She moved to Paris in 1891 to study physics."


def decode(reply: pb.ComputeLogitsResponse, shared: int, longest: int = 30) -> list[Span]:
    """The best answers by the description of the API alone: start, end, score, probability.

    Windows share `shared` context tokens; a span is at most `longest` tokens of one window.
    """
    tokens, first = reply.usage.context_tokens, 0
    best = np.full((longest, tokens), -np.inf)  # by tokens after the first, and first token
    starts, ends = np.zeros(tokens, dtype=int), np.zeros(tokens, dtype=int)
    for window in reply.windows:
        context = np.array(window.sequence_ids) == 2
        start_logits = np.array(window.start_logits)[context]
        end_logits = np.array(window.end_logits)[context]
        last = first + len(start_logits)
        starts[first:last] = np.array(window.starts)[context]
        ends[first:last] = np.array(window.ends)[context]
        for more in range(min(longest, last - first)):
            row = best[more, first : last - more]
            np.maximum(row, start_logits[: last - first - more] + end_logits[more:], out=row)
        first = last - shared
    length, token = np.nonzero(best > -np.inf)
    scores = best[length, token]
    places: dict[tuple[int, int], float] = {}
    for score, start, end in sorted(zip(-scores, starts[token], ends[token + length], strict=True)):
        places.setdefault((int(start), int(end)), float(-score))
        if len(places) == TOP_K:
            break
    total = float(np.logaddexp.reduce(scores))
    return [(*place, score, math.exp(score - total)) for place, score in places.items()]


def compare(stub: QuestionAnsweringServiceStub, compared: Iterable[Pair], say: Say) -> None:
    """Answer and ComputeLogits with the decoder above, each pair in another unit."""
    shared = stub.GetModel(pb.GetModelRequest(), timeout=10).doc_stride_tokens
    scores, probabilities, windows = [], [], 0
    for number, (question, context) in enumerate(compared):
        unit = UNITS[number % len(UNITS)]
        options = pb.AnswerOptions(top_k=TOP_K, offset_encoding=unit, allow_overlap=True)
        asked = pb.AnswerRequest(question=question, context=context, options=options)
        answered = stub.Answer(asked, timeout=60)
        request = pb.ComputeLogitsRequest(question=question, context=context, offset_encoding=unit)
        reply = stub.ComputeLogits(request, timeout=60)
        assert reply.usage == answered.usage
        decoded = decode(reply, shared)
        assert [span[:2] for span in decoded] == [(a.start, a.end) for a in answered.answers]
        for (start, end, score, probability), answer in zip(decoded, answered.answers, strict=True):
            assert cut(context, start, end, unit) == answer.text
            scores.append(abs(score - answer.score))
            probabilities.append(abs(probability - answer.probability))
        windows += len(reply.windows)
    say(
        f"{len(scores):,} answers of {windows:,} windows decoded alike: largest difference of "
        f"a score {max(scores):.1e}, of a probability {max(probabilities):.1e}"
    )
    assert max(scores) <= SAME_SCORE
    assert max(probabilities) <= SAME_PROBABILITY


@pytest.mark.parametrize(
    "count", [40, pytest.param(500, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_squad_questions(stub: QuestionAnsweringServiceStub, say: Say, count: int) -> None:
    require_squad()
    compare(stub, squad_pairs(count), say)


def test_texts_of_one_and_of_several_windows(stub: QuestionAnsweringServiceStub, say: Say) -> None:
    compare(stub, [*pairs(), ("what?", generated(6, 400))], say)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_long_texts(stub: QuestionAnsweringServiceStub, say: Say) -> None:
    lengths = [2_000 + 4_000 * number // 19 for number in range(20)]
    texts = [
        generated(number, words) if number % 2 else article(words)
        for number, words in enumerate(lengths)
    ]
    questions = (QUESTIONS[number % len(QUESTIONS)] for number in range(20))
    compare(stub, zip(questions, texts, strict=True), say)


@pytest.mark.parametrize("unit", UNITS)
def test_what_a_window_is(
    stub: QuestionAnsweringServiceStub, unit: "pb.OffsetEncoding.ValueType"
) -> None:
    question, context = "Wo wurde 居里 geboren?", f"👩‍🚀 {CONTEXT} " * 6
    request = pb.ComputeLogitsRequest(
        question=question,
        context=context,
        offset_encoding=unit,
        max_sequence_tokens=64,
        doc_stride_tokens=20,
    )
    reply = stub.ComputeLogits(request, timeout=30)
    heads, pieces = [], []
    for window in reply.windows:
        kinds = list(window.sequence_ids)
        asked, read = kinds.count(1), kinds.count(2)
        assert kinds == [0, *[1] * asked, 0, *[2] * read, 0]
        assert [window.tokens[i] for i, kind in enumerate(kinds) if kind == 0] == [
            *("[CLS]", "[SEP]", "[SEP]"),
        ]
        rows = list(zip(kinds, window.tokens, window.starts, window.ends, strict=True))
        assert all((start, end) == (0, 0) for kind, _, start, end in rows if kind == 0)
        for kind, token, start, end in rows:
            if kind and token.isascii() and token != "[UNK]":
                text = question if kind == 1 else context
                assert cut(text, start, end, unit).lower() == token.removeprefix("##")
        assert len(window.start_logits) == len(window.end_logits) == len(kinds)
        heads.append(list(window.token_ids[: asked + 2]))
        pieces.append(list(window.token_ids[asked + 2 : -1]))
    assert len(reply.windows) == reply.usage.windows > 3
    assert all(head == heads[0] for head in heads)
    assert all(left[-20:] == right[:20] for left, right in pairwise(pieces))
    total = len(pieces[0]) + sum(len(piece) - 20 for piece in pieces[1:])
    assert total == reply.usage.context_tokens


# What is wrong with which field, the first.
BAD: list[tuple[dict[str, Any], str]] = [
    ({"question": ""}, "empty"),
    ({"context": " "}, "blank"),
    ({"context": "a " * 5_000, "question": "Who?", "doc_stride_tokens": 378}, "limit is 1000000"),
    ({"offset_encoding": 4}, "unknown"),
    ({"max_sequence_tokens": 513}, "to 512"),
    ({"doc_stride_tokens": 374}, "smaller than the window's room"),
]


@pytest.mark.parametrize(("changes", "told"), BAD, ids=[told for _, told in BAD])
def test_the_field_is_named_as_in_its_own_request(
    stub: QuestionAnsweringServiceStub, changes: dict[str, Any], told: str
) -> None:
    good = {"question": "Where was Marie Curie born?", "context": CONTEXT}
    request = pb.ComputeLogitsRequest(**(good | changes))
    [(field, why)] = violations(refused(lambda: stub.ComputeLogits(request, timeout=30))).items()
    assert field == next(iter(changes))
    assert told in why
