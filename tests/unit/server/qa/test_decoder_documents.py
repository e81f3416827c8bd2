"""Spans of several documents: ranked together, "no answer" judged for each."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.server.qa.problems import problems, run_decoder
from unit.server.reference import Problem

EVERY_SPAN = 10_000
OTHER = [50.0]  # tempting logits of tokens that are no context


def documents(*windows: tuple[int, float, list[float]]) -> Problem:
    """Windows of (document, "no answer", scores of one-token spans), one code point a token."""
    numbers: list[list[int]] = []
    starts: list[float] = []
    ends: list[float] = []
    first = 0
    for _, null, scores in windows:
        numbers.append(list(range(first, first + len(scores))))
        first += len(scores)
        starts += [null, *OTHER, *scores, *OTHER]
        ends += [0.0, *OTHER, *([0.0] * len(scores)), *OTHER]
    places = list(range(first))
    return Problem(
        numbers, 2, starts, ends, places, [n + 1 for n in places], [d for d, _, _ in windows]
    )


def found(problem: Problem, threshold: float | None, top_k: int = EVERY_SPAN) -> list[int]:
    """Where the one-token answers are, best first."""
    return [span.start for span in run_decoder(problem, top_k, 1, threshold).spans]


def test_spans_of_all_documents_are_ranked_together() -> None:
    problem = documents((0, 0.0, [1.0, 5.0]), (1, 0.0, [7.0]), (2, 0.0, [2.0, 6.0]))
    assert found(problem, None) == [2, 4, 1, 3, 0]
    assert found(problem, None, top_k=2) == [2, 4]
    spans = run_decoder(problem, EVERY_SPAN, 1).spans
    total = sum(math.exp(span.score) for span in spans)
    expected = [math.exp(span.score) / total for span in spans]
    assert [span.probability for span in spans] == pytest.approx(expected, abs=1e-12)


def test_a_span_never_reaches_into_the_next_document() -> None:
    problem = documents((0, 0.0, [1.0, 1.0]), (1, 0.0, [1.0, 1.0]))
    spans = run_decoder(problem, EVERY_SPAN, 30).spans
    places = sorted((span.start, span.end) for span in spans)
    assert places == [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4), (3, 4)]


def test_a_document_in_which_no_answer_wins_has_none_but_stays_in_the_sum() -> None:
    problem = documents((0, 6.0, [5.0, 4.0]), (1, 1.0, [3.0]))
    decoded = run_decoder(problem, EVERY_SPAN, 1, 0.5)
    assert [span.start for span in decoded.spans] == [2]
    assert not decoded.no_answer
    assert decoded.null_score == 1.0
    total = sum(math.exp(score) for score in (5, 4, 3, 1))
    assert decoded.spans[0].probability == pytest.approx(math.exp(3) / total, abs=1e-12)
    assert decoded.null_probability == pytest.approx(math.exp(1) / total, abs=1e-12)


@pytest.mark.parametrize(
    ("threshold", "places"),
    [(0.9, [1]), (1.0, [0, 1]), (1.1, [0, 1]), (-3.1, []), (-3.0, [1]), (None, [0, 1])],
)
def test_no_answer_needs_more_than_the_threshold(
    threshold: float | None, places: list[int]
) -> None:
    # "No answer" is 1 ahead in the first document, 3 behind in the second.
    problem = documents((0, 6.0, [5.0]), (1, 1.0, [4.0]))
    assert found(problem, threshold) == places
    assert run_decoder(problem, 1, 1, threshold).no_answer is (places == [])


def test_the_lowest_of_a_documents_windows_speaks_for_it() -> None:
    # Each document has a window that says "no answer" loudly and one that does not.
    problem = documents(
        (0, 90.0, [5.0]), (0, 2.0, [4.0]), (1, 7.0, [3.0]), (1, 80.0, [2.0]), (2, 3.0, [9.0])
    )
    decoded = run_decoder(problem, EVERY_SPAN, 1, 0.0)
    assert [span.start for span in decoded.spans] == [4, 0, 1]
    assert decoded.null_score == 2.0


def test_a_document_without_text_has_no_answer_and_takes_none_from_others() -> None:
    problem = documents((0, -90.0, [5.0]), (1, 0.0, [4.0]))
    problem.token_ends[0] = 0
    decoded = run_decoder(problem, EVERY_SPAN, 1, 1e30)
    assert [span.start for span in decoded.spans] == [1]
    assert (decoded.no_answer, decoded.null_score) == (False, -90.0)


@given(problems(most_documents=4), st.integers(1, 30), st.integers(-5, 5).map(float))
@settings(deadline=None, max_examples=100)
def test_a_document_is_judged_as_if_it_were_alone(
    problem: Problem, max_answer_tokens: int, threshold: float
) -> None:
    together = run_decoder(problem, EVERY_SPAN, max_answer_tokens, threshold)
    spans = {(span.start, span.end): span for span in together.spans}
    verdicts = []
    for document in sorted(set(problem.documents)):
        alone = run_decoder(only(problem, document), EVERY_SPAN, max_answer_tokens, threshold)
        verdicts.append(alone.no_answer)
        for span in alone.spans:
            other = spans.pop((span.start, span.end))
            assert other.score == span.score
            assert (other.start_logit, other.end_logit) == (span.start_logit, span.end_logit)
    assert not spans
    assert together.no_answer is all(verdicts)


def only(problem: Problem, document: int) -> Problem:
    """The problem of one document, at the same places."""
    windows: list[list[int]] = []
    starts: list[float] = []
    ends: list[float] = []
    begin = 0
    for window, other in zip(problem.windows, problem.documents, strict=True):
        length = problem.head + len(window) + 1
        if other == document:
            windows.append(window)
            starts += problem.start_logits[begin : begin + length]
            ends += problem.end_logits[begin : begin + length]
        begin += length
    first, last = windows[0][0], windows[-1][-1] + 1
    return Problem(
        [[token - first for token in window] for window in windows],
        problem.head,
        starts,
        ends,
        problem.token_starts[first:last],
        problem.token_ends[first:last],
    )
