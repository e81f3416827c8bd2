"""Python values from responses, without a network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from spanqa import _replies
from spanqa.v1 import question_answering_pb2 as pb

UNIT = "offset_encoding"


def filled(message: Message, number: int = 0) -> int:
    """Gives each field a value of its own, so that a mix-up cannot go unseen."""
    for field in message.DESCRIPTOR.fields:
        number += 1
        value = getattr(message, field.name)
        if isinstance(value, Duration):
            value.FromMilliseconds(1000 * number + 500)
        elif field.message_type is not None and field.is_repeated:
            for _ in range(2):
                number = filled(value.add(), number)
        elif field.message_type is not None:
            number = filled(value, number)
        elif field.is_repeated:
            value.extend(scalar(field, n) for n in (number, number + 1))
            number += 1
        else:
            setattr(message, field.name, scalar(field, number))
    return number


def scalar(field: Any, number: int) -> Any:
    kinds = {field.CPPTYPE_STRING: str, field.CPPTYPE_BOOL: bool}
    return kinds.get(field.cpp_type, int)(number)


def plain(value: Any) -> Any:
    """A message as the dictionary that its Python value should give."""
    if isinstance(value, Duration):
        return value.ToMilliseconds() / 1000
    if isinstance(value, Message):
        fields = value.DESCRIPTOR.fields
        # The client asks for code points, always.
        return {f.name: plain(getattr(value, f.name)) for f in fields if f.name != UNIT}
    if isinstance(value, str | int | float):
        return value
    return tuple(plain(item) for item in value)


@pytest.mark.parametrize(
    ("response", "convert"),
    [
        (pb.AnswerResponse(), _replies.answer_result),
        (pb.AnswerFromDocumentsResponse(), _replies.documents_result),
        (pb.ComputeLogitsResponse(), _replies.logits_result),
        (pb.GetModelResponse(), _replies.model_info),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Message) else "",
)
def test_every_field_arrives(response: Message, convert: Callable[[Any], Any]) -> None:
    assert filled(response) > 10
    assert dataclasses.asdict(convert(response)) == plain(response)


def test_no_answer_has_no_best() -> None:
    result = _replies.answer_result(pb.AnswerResponse(no_answer=True, no_answer_probability=0.9))
    assert result.no_answer
    assert result.best is None
    assert _replies.documents_result(pb.AnswerFromDocumentsResponse(no_answer=True)).best is None


def test_accuracy_that_was_not_measured_is_none() -> None:
    info = _replies.model_info(pb.GetModelResponse(f1=0.0))
    assert (info.exact_match, info.f1) == (None, 0.0)
