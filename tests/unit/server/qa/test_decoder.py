"""The decoder against brute force: every pair of tokens of every window is tried."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unit.server.qa.problems import problems, run_decoder
from unit.server.reference import Problem, solve

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


@given(problems(most_documents=3), st.integers(1, 12), st.integers(1, 30), THRESHOLDS)
@settings(deadline=None, max_examples=200)
def test_fewer_answers_are_the_first_of_more(
    problem: Problem, top_k: int, max_answer_tokens: int, threshold: float | None
) -> None:
    every = run_decoder(problem, EVERY_SPAN, max_answer_tokens, threshold)
    assert run_decoder(problem, top_k, max_answer_tokens, threshold).spans == every.spans[:top_k]


def single(starts: list[float], ends: list[float]) -> Problem:
    """One window of these context logits, one code point a token; other logits tempt."""
    tokens = list(range(len(starts)))
    tempt = [9e3, 9e3]
    return Problem(
        [tokens], 2, [*tempt, *starts, 9e3], [*tempt, *ends, 9e3], tokens, [n + 1 for n in tokens]
    )


def test_only_context_tokens_answer() -> None:
    [span] = run_decoder(single([0.0, 2.0, 1.0], [0.0, 1.0, 3.0]), 1, 30).spans
    assert (span.start, span.end, span.score) == (1, 3, 5.0)
    assert (span.start_logit, span.end_logit) == (2.0, 3.0)


@pytest.mark.parametrize(("longest", "place"), [(1, (0, 1)), (2, (0, 1)), (3, (0, 3)), (9, (0, 3))])
def test_longest_answer(longest: int, place: tuple[int, int]) -> None:
    [span] = run_decoder(single([5.0, 0.0, 0.0], [1.0, 0.0, 2.0]), 1, longest).spans
    assert (span.start, span.end) == place


def test_every_span_of_constant_logits_is_equally_probable_and_in_order() -> None:
    spans = run_decoder(single([1.0] * 5, [1.0] * 5), EVERY_SPAN, 3).spans
    places = [(span.start, span.end) for span in spans]
    assert places == [(i, j) for i in range(5) for j in range(i + 1, min(i + 3, 5) + 1)]
    assert [span.probability for span in spans] == pytest.approx([1 / 12] * 12, abs=1e-12)


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


def test_no_answer_is_the_lowest_of_the_windows_and_one_more_term() -> None:
    starts = [3.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    problem = Problem([[0], [1]], 2, starts, starts, [0, 1], [1, 2])
    decoded = run_decoder(problem, 5, 30, no_answer_threshold=0.0)
    assert (decoded.no_answer, decoded.null_score) == (False, 2.0)
    assert decoded.null_probability == pytest.approx(1 / 3, abs=1e-12)
    assert [span.probability for span in decoded.spans] == pytest.approx([1 / 3] * 2, abs=1e-12)
    plain = run_decoder(problem, 5, 30)
    assert (plain.null_score, plain.null_probability) == (0.0, 0.0)
    assert [span.probability for span in plain.spans] == pytest.approx([0.5] * 2, abs=1e-12)
