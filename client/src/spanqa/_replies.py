"""Converts responses to Python values: pure functions that both clients share.

The fields of a result have the names of the message's fields; each value is converted by its type.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from spanqa._errors import InternalError, SpanQAError, error_from_status
from spanqa._results import (
    Answer,
    AnswerResult,
    DocumentsResult,
    LogitsResult,
    ModelInfo,
    ModelLimits,
    Timing,
    Usage,
    Window,
)
from spanqa.v1 import question_answering_pb2 as pb

_PARTS: dict[type[Message], type[Any]] = {
    pb.Answer: Answer,
    pb.ModelLimits: ModelLimits,
    pb.Timing: Timing,
    pb.Usage: Usage,
    pb.Window: Window,
}
_Result = TypeVar("_Result")


def answer_result(response: pb.AnswerResponse) -> AnswerResult:
    """Converts the reply to an Answer call."""
    return _converted(response, AnswerResult)


def batch_outcomes(
    response: pb.BatchAnswerResponse, pairs: int
) -> list[AnswerResult | SpanQAError]:
    """Converts the reply to a BatchAnswer call; raises InternalError if pairs are missing."""
    if len(response.items) != pairs:
        raise InternalError(f"the server replied with {len(response.items)} items to {pairs} pairs")
    return [outcome(item) for item in response.items]


def outcome(item: pb.BatchAnswerItem | pb.StreamAnswerResponse) -> AnswerResult | SpanQAError:
    """Converts the result of one pair; an error is returned, not raised."""
    if item.HasField("response"):
        return answer_result(item.response)
    if item.HasField("error"):
        return error_from_status(item.error)
    return InternalError("the server sent neither an answer nor an error for this pair")


def documents_result(response: pb.AnswerFromDocumentsResponse) -> DocumentsResult:
    """Converts the reply to an AnswerFromDocuments call."""
    return _converted(response, DocumentsResult)


def logits_result(response: pb.ComputeLogitsResponse) -> LogitsResult:
    """Converts the reply to a ComputeLogits call."""
    return _converted(response, LogitsResult)


def model_info(response: pb.GetModelResponse) -> ModelInfo:
    """Converts the reply to a GetModel call."""
    return _converted(response, ModelInfo)


def _converted(message: Message, result: type[_Result]) -> _Result:
    names = [field.name for field in fields(result)]  # type: ignore[arg-type]
    return result(**{name: _value(message, name) for name in names})


def _value(message: Message, name: str) -> Any:
    field = message.DESCRIPTOR.fields_by_name[name]
    value = getattr(message, name)
    if field.message_type is None:
        if field.is_repeated:
            return tuple(value)
        return None if field.has_presence and not message.HasField(name) else value
    if field.is_repeated:
        return tuple(_part(item) for item in value)
    return _part(value)


def _part(message: Message) -> Any:
    if isinstance(message, Duration):
        return message.seconds + message.nanos / 1e9
    return _converted(message, _PARTS[type(message)])
