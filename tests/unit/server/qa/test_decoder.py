"""The decoder against brute force: every pair of tokens of every window is tried."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.server.qa.problems import problems, run_decoder
from unit.server.reference import Problem, choose, solve

EVERY_SPAN = 10_000
THRESHOLDS = st.none() | st.just(1e6) | st.integers(-6, 6).map(float) | st.floats(-30, 30)


@given(
    problems() | problems(most_documents=4),
    st.integers(1, 12) | st.just(EVERY_SPAN),
    st.integers(1, 30),
    THRESHOLDS,
)
@settings(deadline=None, max_examples=600)
def test_equals_brute_force(
    problem: Problem, top_k: int, max_answer_tokens: int, threshold: float | None
) -> None:
    expected = solve(problem, max_answer_tokens, threshold)
    decoded = run_decoder(problem, top_k, max_answer_tokens, threshold)
    found = [(span.start, span.end, span.score) for span in decoded.spans]
    assert found == [span[:3] for span in expected.spans[:top_k]]
    for span, (_, _, score, probability) in zip(decoded.spans, expected.spans, strict=False):
        assert abs(span.probability - probability) <= 1e-9
        assert span.start_logit + span.end_logit == score
    assert decoded.no_answer is expected.no_answer
    assert decoded.null_score == expected.null_score
    assert abs(decoded.null_probability - expected.null_probability) <= 1e-9
    probabilities = [decoded.null_probability, *(span.probability for span in decoded.spans)]
    assert all(0 <= probability <= 1 for probability in probabilities)
    assert sum(probabilities) <= 1 + 1e-9


@given(
    problems() | problems(most_documents=4),
    st.integers(1, 12) | st.just(EVERY_SPAN),
    st.integers(1, 30),
    st.none() | st.integers(1, 3),
    st.booleans(),
    THRESHOLDS,
)
@settings(deadline=None, max_examples=600)
def test_without_overlap_and_few_of_each_document_equals_brute_force(
    problem: Problem,
    top_k: int,
    max_answer_tokens: int,
    most_of_one: int | None,
    allow_overlap: bool,
    threshold: float | None,
) -> None:
    every = solve(problem, max_answer_tokens, threshold).spans
    expected = choose(problem, every, most_of_one or math.inf, allow_overlap=allow_overlap)
    arguments = problem, top_k, max_answer_tokens, threshold, most_of_one
    decoded = run_decoder(*arguments, allow_overlap=allow_overlap)
    found = [(span.start, span.end, span.score) for span in decoded.spans]
    assert found == [span[:3] for span in expected[:top_k]]
    for span, (_, _, score, probability) in zip(decoded.spans, expected, strict=False):
        assert abs(span.probability - probability) <= 1e-9
        assert span.start_logit + span.end_logit == score


def single(starts: list[float], ends: list[float]) -> Problem:
    """One window of these context logits, one code point a token; other logits tempt."""
    tokens = list(range(len(starts)))
    tempt = [9e3, 9e3]
    return Problem(
        [tokens], 2, [*tempt, *starts, 9e3], [*tempt, *ends, 9e3], tokens, [n + 1 for n in tokens]
    )


def test_a_span_of_two_windows_counts_once_with_its_better_score() -> None:
    # Windows of tokens 0 1 and 1 2; token 1 scores 1 + 1 in the first and 2 + 2 in the second.
    starts = [0.0, 0.0, -9.0, 1.0, 0.0, 0.0, 0.0, 2.0, -9.0, 0.0]
    problem = Problem([[0, 1], [1, 2]], 2, starts, starts, [0, 1, 2], [1, 2, 3])
    first, *rest = run_decoder(problem, EVERY_SPAN, 1).spans
    assert (first.start, first.end, first.score) == (1, 2, 4.0)
    assert [(span.start, span.score) for span in rest] == [(0, -18.0), (2, -18.0)]
    assert first.probability == pytest.approx(1 / (1 + 2 * math.exp(-22)), abs=1e-15)


def test_logits_of_a_span_that_ties_in_two_windows_do_not_depend_on_top_k() -> None:
    # Token 1 scores 1 + 2 in the first window and 2 + 1 in the second, where 1–2 is the best.
    starts = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]
    ends = [0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 1.0, 5.0, 0.0]
    problem = Problem([[0, 1], [1, 2]], 2, starts, ends, [0, 1, 2], [1, 2, 3])
    every = run_decoder(problem, EVERY_SPAN, 30).spans
    tied = next(span for span in every if (span.start, span.end) == (1, 2))
    assert (tied.score, tied.start_logit, tied.end_logit) == (3.0, 1.0, 2.0)
    for top_k in range(1, len(every) + 1):
        assert run_decoder(problem, top_k, 30).spans == every[:top_k]


def test_spans_with_the_same_text_are_one_answer_but_every_term_of_the_sum() -> None:
    # Two tokens of one syllable: four code point equal pairs, three of them in order.
    starts, ends = [9.0, 9.0, 1.0, 0.0, 9.0], [9.0, 9.0, 0.0, 2.0, 9.0]
    [span] = run_decoder(Problem([[0, 1]], 2, starts, ends, [4, 4], [5, 5]), 5, 30).spans
    assert (span.start, span.end, span.score) == (4, 5, 3.0)
    total = math.exp(1) + math.exp(3) + math.exp(2)
    assert span.probability == pytest.approx(math.exp(3) / total, abs=1e-12)


def test_more_rows_are_read_where_the_best_are_one_answer() -> None:
    problem = single([5.0, 5.0, 1.0], [0.0, 0.0, 0.0])
    problem = replace(problem, token_starts=[4, 4, 6], token_ends=[5, 5, 7])
    spans = run_decoder(problem, 2, 1).spans
    assert [(span.start, span.end, span.score) for span in spans] == [(4, 5, 5.0), (6, 7, 1.0)]


def test_no_token_with_text_means_no_span() -> None:
    problem = Problem([[0, 1]], 2, [1.0] * 5, [1.0] * 5, [3, 4], [3, 2])
    decoded = run_decoder(problem, 3, 30, no_answer_threshold=1e6)
    assert decoded.spans == []
    assert (decoded.no_answer, decoded.null_score, decoded.null_probability) == (True, 2.0, 1.0)
    plain = run_decoder(problem, 3, 30)
    assert (plain.spans, plain.no_answer) == ([], False)


@pytest.mark.parametrize("gap", [100.0, 299.0, 301.0, 1e4])
def test_probabilities_where_the_best_start_lies_behind_the_best_end(gap: float) -> None:
    problem = single([0.0, gap, 0.5], [gap, 0.0, 0.25])
    ranked = [(1, 3, gap + 0.25), (0, 1, gap), (1, 2, gap)]
    spans = run_decoder(problem, 3, 30).spans
    assert [(span.start, span.end, span.score) for span in spans] == ranked
    total = math.exp(0.25) + 2
    expected = [math.exp(score - gap) / total for _, _, score in ranked]
    assert [span.probability for span in spans] == pytest.approx(expected, abs=1e-9)


def test_probabilities_of_logits_beyond_any_model() -> None:
    spans = run_decoder(single([1e30] * 6, [1e30] * 6), EVERY_SPAN, 30).spans
    assert sum(span.probability for span in spans) == pytest.approx(1, abs=1e-9)


def two_documents(nulls: tuple[float, float], *scores: list[float]) -> Problem:
    """A window each, of one-token spans with these scores, one code point a token."""
    starts: list[float] = []
    for null, own in zip(nulls, scores, strict=True):
        starts += [null, 50.0, *own, 50.0]  # what is no context tempts
    places = list(range(sum(map(len, scores))))
    first = len(scores[0])
    windows, ends = [places[:first], places[first:]], [place + 1 for place in places]
    return Problem(windows, 2, starts, [0.0] * len(starts), places, ends, [0, 1])


def test_a_document_in_which_no_answer_wins_has_none_but_stays_in_the_sum() -> None:
    problem = two_documents((6.0, 1.0), [5.0, 4.0], [3.0])
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
    decoded = run_decoder(two_documents((6.0, 1.0), [5.0], [4.0]), EVERY_SPAN, 1, threshold)
    assert [span.start for span in decoded.spans] == places
    assert decoded.no_answer is (places == [])
