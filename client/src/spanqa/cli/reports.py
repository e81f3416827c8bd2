"""Sums up a run of questions: pure functions from outcomes to numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from spanqa.cli.evaluation import Evaluated, Outcome
from spanqa.squad import Accuracy, BestThresholds, Unit, best_thresholds, score_all


@dataclass(frozen=True, slots=True)
class Report:
    """A run in numbers; exact match and F1 in percent, where failed questions count as 0."""

    model: str
    model_version: str
    questions: int
    scored: int
    """Those with labels; only they count for exact match and F1."""
    answered: int
    errors: dict[str, int]
    exact_match: float | None
    """None if no question has a label."""
    f1: float | None
    unit: Unit | None
    """What F1 counts."""
    has_answer: Accuracy | None
    """For questions with an answer in their text; None if the file has only one kind."""
    no_answer: Accuracy | None
    """For questions without an answer in their text; None if the file has only one kind."""
    best_thresholds: BestThresholds | None
    """None if null scores were not asked for."""
    answers_per_second: float
    """Replies of the server; failed questions do not count."""
    seconds: float
    latency_seconds: dict[str, float]
    """p50, p90, p99 and max of the successful calls; empty if there was none."""
    mean_probability: float | None


def summarize(evaluated: Evaluated, unit: Unit | None = None) -> Report:
    """Scores a run; ``unit`` is what F1 counts, None means that the gold answers decide."""
    outcomes = evaluated.outcomes
    errors = Counter(o.error.code.name for o in outcomes if o.error is not None)
    replies = [o for o in outcomes if o.result is not None]
    best = [o.best for o in replies]
    probabilities = [answer.probability for answer in best if answer is not None]
    asked = [(o.question, o.prediction) for o in outcomes]
    scored = sum(o.question.labelled for o in outcomes)
    scores = score_all(asked, unit) if scored else None
    return Report(
        model=evaluated.model.name,
        model_version=evaluated.model.version,
        questions=len(outcomes),
        scored=scored,
        answered=len(probabilities),
        errors=dict(errors.most_common()),
        exact_match=scores.total.exact_match if scores else None,
        f1=scores.total.f1 if scores else None,
        unit=scores.unit if scores else None,
        has_answer=scores.has_answer if scores else None,
        no_answer=scores.no_answer if scores else None,
        best_thresholds=_thresholds(outcomes, unit),
        answers_per_second=len(replies) / evaluated.seconds,
        seconds=evaluated.seconds,
        latency_seconds=latency_summary([o.seconds for o in replies]),
        mean_probability=math.fsum(probabilities) / len(probabilities) if probabilities else None,
    )


def _thresholds(outcomes: Sequence[Outcome], unit: Unit | None) -> BestThresholds | None:
    if all(outcome.null_odds is None for outcome in outcomes):
        return None
    return best_thresholds(
        [(o.question, o.best_text, o.null_odds if o.null_odds else 0.0) for o in outcomes], unit
    )


def latency_summary(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99 by the nearest rank, and the maximum; empty for no values."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    ranks = {f"p{p}": math.ceil(p * len(ordered) / 100) for p in (50, 90, 99)}
    return {name: ordered[rank - 1] for name, rank in ranks.items()} | {"max": ordered[-1]}
