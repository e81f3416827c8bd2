"""What the page shows, as JSON values: pure functions from results and errors.

Offsets count UTF-16 code units, as JavaScript's strings do. Times are seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from spanqa._errors import SpanQAError
from spanqa._inputs import Document
from spanqa._results import Answer, AnswerResult, DocumentsResult, LogitsResult, ModelInfo, Window
from spanqa.playground.units import Utf16Offsets

MAX_WINDOWS_CHARACTERS = 100_000
"""Code points of a text whose windows and tokens are shown: some 100 windows."""

_QUESTION, _CONTEXT = 1, 2


def model_reply(model: ModelInfo, target: str) -> dict[str, Any]:
    """The model and the server's limits."""
    return asdict(model) | {"target": target, "max_windows_characters": MAX_WINDOWS_CHARACTERS}


def answers_reply(
    result: AnswerResult | DocumentsResult, documents: Sequence[Document]
) -> dict[str, Any]:
    """The answers, best first; ``characters`` has their offsets in code points."""
    used = {answer.document_index for answer in result.answers}
    offsets = {index: Utf16Offsets(documents[index].text) for index in used}
    return {
        "answers": [_answer(answer, offsets[answer.document_index]) for answer in result.answers],
        "no_answer": result.no_answer,
        "no_answer_probability": result.no_answer_probability,
        "model_version": result.model_version,
        "usage": asdict(result.usage),
        "timing": asdict(result.timing),
    }


def windows_reply(result: LogitsResult, question: str, text: str) -> dict[str, Any]:
    """The windows in the order of the text, each with a list entry for every token."""
    offsets = {_QUESTION: Utf16Offsets(question), _CONTEXT: Utf16Offsets(text)}
    return {
        "windows": [_window(window, offsets) for window in result.windows],
        "model_version": result.model_version,
        "usage": asdict(result.usage),
        "timing": asdict(result.timing),
    }


def error_reply(error: SpanQAError, remedy: str) -> dict[str, Any]:
    """An error with all that the server said, and what to do about it."""
    return {
        "code": error.code.name,
        "message": error.message,
        "reason": error.reason,
        "retry_delay": error.retry_delay,
        "fields": [asdict(violation) for violation in error.field_violations],
        "remedy": remedy,
    }


def _answer(answer: Answer, utf16: Utf16Offsets) -> dict[str, Any]:
    return asdict(answer) | {
        "start": utf16(answer.start),
        "end": utf16(answer.end),
        "characters": [answer.start, answer.end],
    }


def _window(window: Window, offsets: dict[int, Utf16Offsets]) -> dict[str, Any]:
    places = list(zip(window.sequence_ids, window.starts, window.ends, strict=True))
    pieces = [(start, end) for kind, start, end in places if kind == _CONTEXT]
    return {
        "tokens": window.tokens,
        "kinds": window.sequence_ids,
        "starts": [offsets[kind](start) if kind else 0 for kind, start, _ in places],
        "ends": [offsets[kind](end) if kind else 0 for kind, _, end in places],
        "start_logits": [round(logit, 4) for logit in window.start_logits],
        "end_logits": [round(logit, 4) for logit in window.end_logits],
        "characters": [pieces[0][0], pieces[-1][1]] if pieces else [0, 0],
    }
