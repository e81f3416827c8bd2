"""The best threshold, against trying them all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa.squad import Question, best_thresholds, score_all

ANSWERABLE = Question("1", "?", "c", ("Ada Lovelace",), is_impossible=False)
IMPOSSIBLE = Question("2", "?", "c", (), is_impossible=True)
MEASURED = st.lists(
    st.tuples(
        st.sampled_from([ANSWERABLE, IMPOSSIBLE]),
        st.sampled_from(["Ada Lovelace", "Ada", "Bob", None]),
        st.sampled_from([-3.0, -1.5, 0.0, 0.25, 4.0]),
    ),
    min_size=1,
)


@settings(deadline=None)
@given(MEASURED)
def test_no_threshold_is_better(measured: list[tuple[Question, str | None, float]]) -> None:
    def scores(threshold: float) -> tuple[float, float]:
        said = [
            (question, "" if text is not None and odds > threshold else text)
            for question, text, odds in measured
        ]
        total = score_all(said).total
        return total.exact_match, total.f1

    best = best_thresholds(measured)
    assert best is not None
    assert scores(best.exact_match_threshold)[0] == pytest.approx(best.exact_match)
    assert scores(best.f1_threshold)[1] == pytest.approx(best.f1)
    tried = [scores(threshold) for threshold in (-9.0, -3.0, -1.5, 0.0, 0.25, 4.0)]
    assert best.exact_match == pytest.approx(max(exact for exact, _ in tried))
    assert best.f1 == pytest.approx(max(f1 for _, f1 in tried))


def test_thresholds_lie_between_what_was_measured() -> None:
    best = best_thresholds([(ANSWERABLE, "Ada Lovelace", -2.0), (IMPOSSIBLE, "Ada", 3.0)])
    assert best is not None
    assert (best.exact_match, best.f1) == (100, 100)
    assert best.exact_match_threshold == best.f1_threshold == 0.5


def test_nothing_to_measure() -> None:
    unlabelled = Question("3", "?", "c", (), labelled=False)
    assert best_thresholds([(unlabelled, "Ada", 0.0)]) is None
    failed = best_thresholds([(ANSWERABLE, None, 0.0)])
    assert failed is not None
    assert (failed.exact_match, failed.f1) == (0, 0)
