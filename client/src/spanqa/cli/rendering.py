"""Formats the output of the commands: pure functions from values to lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from rich.text import Text

from spanqa._inputs import Document
from spanqa._results import Answer, AnswerResult, DocumentsResult, ModelInfo
from spanqa._sentences import ends_sentence, sentence_around
from spanqa.cli.reports import Report
from spanqa.cli.terminal import printable
from spanqa.squad import Accuracy, BestThresholds


def as_json(value: dict[str, Any]) -> str:
    """JSON that standard output can encode."""
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    return json.dumps(value, indent=2, ensure_ascii=not is_unicode)


def answer_lines(result: AnswerResult, context: str) -> Iterator[Text]:
    """Each answer with its offsets and probability, then its sentence with the answer marked."""
    yield from _no_answer_line(result)
    for answer in result.answers:
        yield from _lines_of(answer, context, "")


def document_lines(result: DocumentsResult, documents: Sequence[Document]) -> Iterator[Text]:
    """As ``answer_lines``, with the document's id before the offsets."""
    yield from _no_answer_line(result)
    for answer in result.answers:
        context = documents[answer.document_index].text
        yield from _lines_of(answer, context, f"{result.document_id(answer)} ")


def _no_answer_line(result: AnswerResult | DocumentsResult) -> Iterator[Text]:
    if result.no_answer:
        yield Text(f"No answer.  probability {result.no_answer_probability:.3f}")
    elif result.best is None:
        yield Text("No answer.")


def _lines_of(answer: Answer, context: str, place: str) -> Iterator[Text]:
    yield Text.assemble(
        (printable(answer.text), "bold"),
        f"  {printable(place)}[{answer.start}:{answer.end}]  probability {answer.probability:.3f}",
    )
    first, last = sentence_around(context, answer.start, answer.end)
    yield Text.assemble(
        "  " if first == 0 or ends_sentence(context, first) else "  …",
        printable(context[first : answer.start]),
        (printable(context[answer.start : answer.end]), "bold green"),
        printable(context[answer.end : last]),
    )


def info_lines(model: ModelInfo) -> Iterator[str]:
    """The model and its limits, one fact on each line."""
    source = f"{model.source} {model.revision}".strip()
    yield from _table(
        ("model", f"{model.name} version {model.version}"),
        ("source", source or "unknown"),
        ("licence", model.license or "unknown"),
        ("weights", model.dtype),
        ("checksum", f"sha256 {model.checksum}"),
        ("measured", f"EM {_number(model.exact_match, 2)}  F1 {_number(model.f1, 2)}"),
        ("no-answer", "yes" if model.has_no_answer else "no"),
        ("window", f"{model.max_sequence_tokens} tokens, {model.doc_stride_tokens} shared"),
        *(limit(field.name, getattr(model.limits, field.name)) for field in fields(model.limits)),
    )


def limit(name: str, value: float) -> tuple[str, str]:
    """A limit's name as people write it, and its value."""
    seconds = name == "default_timeout"
    return name.replace("_", " "), f"{value:g} s" if seconds else f"{value:,}"


def report_lines(report: Report) -> Iterator[str]:
    """The result of an evaluation, one fact on each line."""
    errors = ", ".join(f"{code} {count}" for code, count in report.errors.items())
    kinds = (("with answer", report.has_answer), ("without answer", report.no_answer))
    best = report.best_thresholds
    unlabelled = report.questions - report.scored
    yield from _table(
        ("model", f"{report.model} version {report.model_version}"),
        ("questions", report.questions),
        *([("not labelled", unlabelled)] if unlabelled else []),
        ("answered", report.answered),
        ("errors", errors or "0"),
        *(
            [
                ("exact match", _number(report.exact_match, 2)),
                ("F1", f"{_number(report.f1, 2)}{_unit(report)}"),
            ]
            if report.scored
            else []
        ),
        *((label, _accuracy(kind)) for label, kind in kinds if kind is not None),
        *(_threshold_rows(best) if best else ()),
        ("answers/s", f"{report.answers_per_second:.2f}"),
        ("latency", latencies(report)),
        ("mean probability", _number(report.mean_probability, 4)),
    )


def latencies(report: Report) -> str:
    """The latencies of a run, in milliseconds."""
    return (
        "  ".join(f"{k} {v * 1e3:.1f} ms" for k, v in report.latency_seconds.items()) or "unknown"
    )


def _unit(report: Report) -> str:
    return "  by characters" if report.unit == "characters" else ""


def _threshold_rows(best: BestThresholds) -> Iterator[tuple[str, str]]:
    yield "best exact match", f"{best.exact_match:.2f}  at threshold {best.exact_match_threshold:g}"
    yield "best F1", f"{best.f1:.2f}  at threshold {best.f1_threshold:g}"


def _accuracy(kind: Accuracy) -> str:
    return f"EM {kind.exact_match:.2f}  F1 {kind.f1:.2f}  of {kind.questions} questions"


def _table(*rows: tuple[str, object]) -> Iterator[str]:
    for label, value in rows:
        yield f"{label:<18}{printable(str(value))}"


def _number(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"
