"""What the page asks, read from JSON.

Raises ``spanqa.InvalidArgumentError`` with the field's path, as the server does.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from spanqa._errors import FieldViolation, InvalidArgumentError
from spanqa._inputs import Document, OptionArguments

MAX_BODY_BYTES = 32 * 1024 * 1024
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one or more texts."""

    question: str
    documents: list[Document]
    options: OptionArguments


def read_question(body: bytes) -> Question:
    """Reads ``{"question", "documents": [{"id", "text"}], "options"}``."""
    fields = _object("body", _parsed(body))
    documents = _of_kind("documents", fields.get("documents"), list)
    if not documents:
        refuse("documents", "is empty: give at least one text")
    return Question(
        _text("question", fields.get("question")),
        [_document(f"documents[{index}]", each) for index, each in enumerate(documents)],
        _options(_object("options", fields.get("options", {}))),
    )


def read_pair(body: bytes) -> tuple[str, str]:
    """Reads ``{"question", "text"}``."""
    fields = _object("body", _parsed(body))
    return _text("question", fields.get("question")), _text("text", fields.get("text"))


def refuse(field: str, description: str) -> NoReturn:
    """Raises the error for one field."""
    raise InvalidArgumentError(
        f"{field} {description}", field_violations=[FieldViolation(field, description)]
    )


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        refuse("body", "is not JSON in UTF-8")


def _document(where: str, value: Any) -> Document:
    fields = _object(where, value)
    return Document(
        text=_text(f"{where}.text", fields.get("text")),
        id=_text(f"{where}.id", fields.get("id", "")),
    )


def _options(fields: dict[str, Any]) -> OptionArguments:
    options: OptionArguments = {}
    if "top_k" in fields:
        options["top_k"] = _whole("options.top_k", fields["top_k"])
    if "max_answer_tokens" in fields:
        number = _whole("options.max_answer_tokens", fields["max_answer_tokens"])
        options["max_answer_tokens"] = number
    if "allow_no_answer" in fields:
        allowed = _of_kind("options.allow_no_answer", fields["allow_no_answer"], bool)
        options["allow_no_answer"] = allowed
    for name in sorted(fields.keys() - options.keys()):
        refuse(f"options.{name}", "is not known")
    return options


def _whole(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
        refuse(where, "must be a whole number, at least 1")
    return value


def _text(where: str, value: Any) -> str:
    text = _of_kind(where, value, str)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        refuse(where, f"holds half a character at position {error.start}: remove it")
    return text


def _object(where: str, value: Any) -> dict[str, Any]:
    return _of_kind(where, value, dict)


_NAMES = {str: "a text", bool: "true or false", list: "a list", dict: "an object"}


def _of_kind(where: str, value: Any, kind: type[_Value]) -> _Value:
    if not isinstance(value, kind):
        refuse(where, f"must be {_NAMES[kind]}")
    return value
