"""Compares the answers of two servers to the same questions: pure functions."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from spanqa.cli.reports import Report
from spanqa.cli.terminal import printable
from spanqa.squad import Accuracy, Question, Unit, score, score_all, unit_for

_TWO_SIDED_95_PERCENT = 1.96


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: a server that was asked, or a file with its answers."""

    name: str
    predictions: Mapping[str, str | None]
    """By the question's id; None if the question failed or has no answer in the file."""
    probabilities: Mapping[str, float]
    report: Report | None = None
    """None for a file."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A question that the two answer differently; empty means "no answer", None that it failed."""

    id: str
    question: str
    gold_answers: tuple[str, ...] | None
    """None if the question is not labelled."""
    a: str | None
    b: str | None
    a_probability: float | None
    b_probability: float | None
    a_f1: float | None
    """In percent; None if the question is not labelled."""
    b_f1: float | None

    @property
    def change(self) -> float:
        """How much better B's answer is than A's."""
        return (self.b_f1 or 0.0) - (self.a_f1 or 0.0)


@dataclass(frozen=True, slots=True)
class Change:
    """B's score less A's, in percentage points, with the 95 % interval of the mean."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sides; ``differences`` begin with those in which B is worse than A."""

    questions: int
    scored: int
    unit: Unit | None
    a: Accuracy | None
    b: Accuracy | None
    exact_match: Change | None
    f1: Change | None
    same: int
    a_better: int
    b_better: int
    differences: tuple[Difference, ...]


def compare(
    questions: Sequence[Question], a: Side, b: Side, unit: Unit | None = None
) -> Comparison:
    """Compares two sides on the same questions; ``unit`` is what F1 counts, None chooses it."""
    labelled = [question for question in questions if question.labelled]
    unit = unit or unit_for(labelled)
    a_scores, b_scores = (
        [_score(question, side.predictions[question.id], unit) for question in labelled]
        for side in (a, b)
    )
    differences = [
        _difference(question, a, b, unit)
        for question in questions
        if a.predictions[question.id] != b.predictions[question.id]
    ]
    return Comparison(
        questions=len(questions),
        scored=len(labelled),
        unit=unit if labelled else None,
        a=_accuracy(questions, a, unit) if labelled else None,
        b=_accuracy(questions, b, unit) if labelled else None,
        exact_match=_change([one[0] for one in a_scores], [one[0] for one in b_scores]),
        f1=_change([one[1] for one in a_scores], [one[1] for one in b_scores]),
        same=len(questions) - len(differences),
        a_better=sum(difference.change < 0 for difference in differences),
        b_better=sum(difference.change > 0 for difference in differences),
        differences=tuple(sorted(differences, key=lambda difference: difference.change)),
    )


def _accuracy(questions: Sequence[Question], side: Side, unit: Unit) -> Accuracy:
    answered = [(question, side.predictions[question.id]) for question in questions]
    return score_all(answered, unit).total


def _score(question: Question, prediction: str | None, unit: Unit) -> tuple[float, float]:
    return (0.0, 0.0) if prediction is None else score(question, prediction, unit)


def _difference(question: Question, a: Side, b: Side, unit: Unit) -> Difference:
    said = [side.predictions[question.id] for side in (a, b)]
    scores = [100 * _score(question, text, unit)[1] for text in said]
    return Difference(
        id=question.id,
        question=question.question,
        gold_answers=question.answers if question.labelled else None,
        a=said[0],
        b=said[1],
        a_probability=a.probabilities.get(question.id),
        b_probability=b.probabilities.get(question.id),
        a_f1=scores[0] if question.labelled else None,
        b_f1=scores[1] if question.labelled else None,
    )


def _change(a: Sequence[float], b: Sequence[float]) -> Change | None:
    changes = [100 * (after - before) for before, after in zip(a, b, strict=True)]
    if len(changes) < 2:
        return None
    mean = statistics.fmean(changes)
    margin = _TWO_SIDED_95_PERCENT * statistics.stdev(changes) / math.sqrt(len(changes))
    return Change(mean, mean - margin, mean + margin)


def differences_jsonl(comparison: Comparison) -> str:
    """All differences, one JSON object on each line."""
    return "".join(json.dumps(asdict(one)) + "\n" for one in comparison.differences)


def comparison_lines(comparison: Comparison, a: Side, b: Side, show: int) -> Iterator[str]:
    """The two side by side, then the first differences."""
    rows: list[tuple[str, ...]] = [("", "A", "B", ""), ("", a.name, b.name, "")]
    rows += _rows(comparison, a, b)
    widths = [max(len(printable(row[column])) for row in rows) for column in range(3)]
    for row in rows:
        cells = [f"{printable(cell):<{width}}" for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[3]]).rstrip()
    yield ""
    yield f"{comparison.same} of {comparison.questions} answers are the same"
    if comparison.scored and comparison.differences:
        equal = len(comparison.differences) - comparison.a_better - comparison.b_better
        yield (
            f"of the {len(comparison.differences)} others A is better in {comparison.a_better}, "
            f"B in {comparison.b_better}, and {equal} score the same"
        )
    for difference in comparison.differences[:show]:
        yield ""
        yield from _difference_lines(difference)
    if 0 < show < len(comparison.differences):
        yield ""
        yield f"… {len(comparison.differences) - show} more: --show N or --differences FILE"


def _rows(comparison: Comparison, a: Side, b: Side) -> Iterator[tuple[str, ...]]:
    reports = (a.report, b.report)
    if any(reports):
        yield "model", *(f"{r.model} version {r.model_version}" if r else "-" for r in reports), ""
    failed = [sum(text is None for text in side.predictions.values()) for side in (a, b)]
    yield "not answered", *map(str, failed), ""
    if comparison.a and comparison.b:
        unit = "F1 by characters" if comparison.unit == "characters" else "F1"
        for label, before, after, change in (
            (
                "exact match",
                comparison.a.exact_match,
                comparison.b.exact_match,
                comparison.exact_match,
            ),
            (unit, comparison.a.f1, comparison.b.f1, comparison.f1),
        ):
            yield label, f"{before:.2f}", f"{after:.2f}", _change_text(change)
    if any(reports):
        yield "answers/s", *(f"{r.answers_per_second:.2f}" if r else "-" for r in reports), ""
        for name in ("p50", "p90", "p99", "max"):
            values = [r.latency_seconds.get(name) if r else None for r in reports]
            texts = ["-" if v is None else f"{v * 1e3:.1f} ms" for v in values]
            yield f"latency {name}", *texts, ""


def _change_text(change: Change | None) -> str:
    if change is None:
        return ""
    return f"{change.mean:+.2f}  (95 %: {change.low:+.2f} to {change.high:+.2f})"


def _difference_lines(difference: Difference) -> Iterator[str]:
    yield printable(f"{difference.id}  {difference.question}")
    if difference.gold_answers is not None:
        golds = " | ".join(dict.fromkeys(difference.gold_answers)) or "(no answer)"
        yield printable(f"  gold  {golds}")
    for name, text, probability, f1 in (
        ("A", difference.a, difference.a_probability, difference.a_f1),
        ("B", difference.b, difference.b_probability, difference.b_f1),
    ):
        said = "(failed)" if text is None else text or "(no answer)"
        figures = "" if probability is None else f"  probability {probability:.3f}"
        figures += "" if f1 is None else f"  F1 {f1:.0f}"
        yield printable(f"  {name}     {said}{figures}")
