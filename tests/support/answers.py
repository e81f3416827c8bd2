"""How tests read replies: spans in every offset unit, statuses with their details."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub

FILLER = "The rain went on and nobody in the village said a word about the matter. "
UTF8, UTF16, UTF32 = pb.OFFSET_ENCODING_UTF8, pb.OFFSET_ENCODING_UTF16, pb.OFFSET_ENCODING_UTF32
UNITS = (UTF8, UTF16, UTF32)
CODECS = {
    UTF8: ("utf-8", 1),
    UTF16: ("utf-16-le", 2),
    UTF32: ("utf-32-le", 4),
    pb.OFFSET_ENCODING_UNSPECIFIED: ("utf-32-le", 4),
}

Place = tuple[int, int, int]


def ask(
    stub: QuestionAnsweringServiceStub, question: str, context: str, **options: Any
) -> pb.AnswerResponse:
    """An answer by Answer."""
    made = pb.AnswerOptions(**options)
    request = pb.AnswerRequest(question=question, context=context, options=made)
    return stub.Answer(request, timeout=60)


def cut(text: str, start: int, end: int, unit: "pb.OffsetEncoding.ValueType") -> str:
    """text[start:end], counted in `unit`; fails where that splits a character."""
    codec, size = CODECS[unit]
    return text.encode(codec)[start * size : end * size].decode(codec)


def place(answer: pb.Answer) -> Place:
    return answer.document_index, answer.start, answer.end


def rank(answer: pb.Answer) -> tuple[float, Place]:
    """What answers are sorted by."""
    return -answer.score, place(answer)


def violations(status: status_pb2.Status | None) -> dict[str, str]:
    """What is wrong with which field, by a status of INVALID_ARGUMENT."""
    assert status is not None
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    bad = error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(bad)
    return {violation.field: violation.description for violation in bad.field_violations}


def reason(status: status_pb2.Status | None) -> str:
    """The stable reason that a program can act on."""
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.domain == "spanqa.v1"
    return info.reason


def refused(call: Callable[[], object]) -> status_pb2.Status:
    """The status of a call that must fail."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return status_of(raised.value)


def status_of(error: Any) -> status_pb2.Status:
    """The whole status that a call failed with, in either of gRPC's APIs."""
    status: status_pb2.Status | None = rpc_status.from_call(error)
    assert status is not None, f"{error.code()} without details: {error.details()}"
    return status
