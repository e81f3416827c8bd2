"""Answers that do not overlap, on SQuAD: the best one stays, and no two share a character."""

from collections.abc import Callable
from itertools import combinations

import pytest

import spanqa
from parity.reference import Pair
from support.processes import RunningServer

pytestmark = pytest.mark.slow

QUESTIONS = 500


def test_the_best_answer_stays_and_no_two_overlap(
    server: RunningServer, squad: list[Pair], say: Callable[[str], None]
) -> None:
    pairs = squad[:QUESTIONS]
    assert len(pairs) == QUESTIONS
    apart, free = (
        ask(server, pairs, allow_overlap=allow_overlap) for allow_overlap in (False, True)
    )
    say(
        f"\n{QUESTIONS} questions, top 3: {overlaps(apart)} pairs overlap, {overlaps(free)} if "
        f"they may; best answer the same in {sum(map(same_best, apart, free))}"
    )
    assert len(apart) == len(free) == QUESTIONS
    assert overlaps(apart) == 0
    assert overlaps(free) > 0
    assert all(map(same_best, apart, free))


def ask(
    server: RunningServer, pairs: list[Pair], *, allow_overlap: bool
) -> list[spanqa.AnswerResult]:
    options = spanqa.Options(top_k=3, allow_overlap=allow_overlap)
    asked = [spanqa.Pair(question, context, options) for question, context in pairs]
    with spanqa.Client(server.target) as client:
        outcomes = {item.index: item.outcome for item in client.answer_stream(asked)}
    results = [outcomes[at] for at in range(len(pairs))]
    return [result for result in results if isinstance(result, spanqa.AnswerResult)]


def overlaps(results: list[spanqa.AnswerResult]) -> int:
    pairs = (pair for result in results for pair in combinations(result.answers, 2))
    return sum(one.start < other.end and other.start < one.end for one, other in pairs)


def same_best(one: spanqa.AnswerResult, other: spanqa.AnswerResult) -> bool:
    assert one.best
    assert other.best
    return (one.best.start, one.best.end) == (other.best.start, other.best.end)
