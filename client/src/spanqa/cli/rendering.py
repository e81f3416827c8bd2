"""Formats the output of the commands: pure functions from values to lines."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from rich.text import Text

from spanqa._inputs import Document
from spanqa._results import Answer, AnswerResult, DocumentsResult, ModelInfo
from spanqa.cli.evaluation import Report
from spanqa.squad import Accuracy

_SENTENCE_END = re.compile(r"[.!?][\"')\]\u201d\u2019\xbb]*\s+|\n\s*\n")
_REACH = 200


def as_json(value: dict[str, Any]) -> str:
    """JSON that standard output can encode."""
    is_unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    return json.dumps(value, indent=2, ensure_ascii=not is_unicode)


def printable(text: str) -> str:
    """Replaces white space by blanks, and control characters, which could control a terminal."""
    return "".join(
        " " if char.isspace() else "\ufffd" if unicodedata.category(char) == "Cc" else char
        for char in text
    )


def sentence_around(context: str, start: int, end: int) -> tuple[int, int]:
    """The bounds of the sentence around ``context[start:end]``, shortened if it is very long."""
    first = max(0, start - _REACH)
    for match in _SENTENCE_END.finditer(context, first, start):
        first = match.end()
    last = min(len(context), end + _REACH)
    closing = _SENTENCE_END.search(context, end, last)
    if closing is not None:
        last = closing.start() + len(closing.group().rstrip())
    return first, last


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
        "  " if first == 0 or _ends_sentence(context, first) else "  …",
        printable(context[first : answer.start]),
        (printable(context[answer.start : answer.end]), "bold green"),
        printable(context[answer.end : last]),
    )


def _ends_sentence(context: str, position: int) -> bool:
    before = context[max(0, position - _REACH) : position]
    return any(match.end() == len(before) for match in _SENTENCE_END.finditer(before))


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
    latency = report.latency_seconds
    kinds = (("with answer", report.has_answer), ("without answer", report.no_answer))
    yield from _table(
        ("model", f"{report.model} version {report.model_version}"),
        ("questions", report.questions),
        ("answered", report.answered),
        ("errors", errors or "0"),
        ("exact match", f"{report.exact_match:.2f}"),
        ("F1", f"{report.f1:.2f}"),
        *((label, _accuracy(kind)) for label, kind in kinds if kind is not None),
        ("answers/s", f"{report.answers_per_second:.2f}"),
        ("latency", "  ".join(f"{k} {v * 1e3:.1f} ms" for k, v in latency.items()) or "unknown"),
        ("mean probability", _number(report.mean_probability, 4)),
    )


def _accuracy(kind: Accuracy) -> str:
    return f"EM {kind.exact_match:.2f}  F1 {kind.f1:.2f}  of {kind.questions} questions"


def _table(*rows: tuple[str, object]) -> Iterator[str]:
    for label, value in rows:
        yield f"{label:<18}{printable(str(value))}"


def _number(value: float | None, digits: int) -> str:
    return "unknown" if value is None else f"{value:.{digits}f}"
