"""The error tree, from google.rpc details as they come over the wire."""

from __future__ import annotations

import pickle

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import (  # type: ignore[import-untyped,unused-ignore]
    error_details_pb2,
    status_pb2,
)

import spanqa
from spanqa._errors import error_from_rpc, error_from_status
from unit.client.fake_service import packed

DETAILS_KEY = "grpc-status-details-bin"


def rpc_error(
    code: grpc.StatusCode, message: str | None, details: bytes | None = None
) -> grpc.aio.AioRpcError:
    trailing = () if details is None else ((DETAILS_KEY, details),)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), message)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"])
def test_every_code_has_a_class_of_the_tree(code: grpc.StatusCode) -> None:
    error = error_from_rpc(rpc_error(code, "why"))
    assert isinstance(error, spanqa.SpanQAError)
    assert (error.code, error.message, str(error)) == (code, "why", f"{code.name}: why")
    classes = {cls.default_code: cls for cls in spanqa.SpanQAError.__subclasses__()}
    assert type(error) is classes.get(code, spanqa.SpanQAError)


def test_details_are_read() -> None:
    status = status_pb2.Status(
        code=8,
        message="full",
        details=packed(
            error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="spanqa.v1"),
            error_details_pb2.RetryInfo(retry_delay=Duration(nanos=250_000_000)),
            error_details_pb2.Help(),
        ),
    )
    error = error_from_rpc(
        rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", status.SerializeToString())
    )
    assert isinstance(error, spanqa.ResourceExhaustedError)
    assert (error.reason, error.retry_delay, error.field_violations) == ("QUEUE_FULL", 0.25, ())


@pytest.mark.parametrize(
    "details",
    [
        b"\xff\xff",
        status_pb2.Status(code=5, message="full").SerializeToString(),
        status_pb2.Status(code=8, message="another").SerializeToString(),
        status_pb2.Status(code=99, message="full").SerializeToString(),
    ],
    ids=["garbage", "other code", "other message", "unknown code"],
)
def test_details_that_cannot_be_trusted_are_left_out(details: bytes) -> None:
    error = error_from_rpc(rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", details))
    assert isinstance(error, spanqa.ResourceExhaustedError)
    assert (error.message, error.reason, error.retry_delay) == ("full", "RESOURCE_EXHAUSTED", None)


def test_a_broken_detail_does_not_hide_the_others() -> None:
    broken = AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2))
    error = error_from_status(status_pb2.Status(code=14, details=[broken, *packed(retry)]))
    assert (error.reason, error.retry_delay) == ("UNAVAILABLE", 2.0)
    no_delay = status_pb2.Status(code=14, details=packed(error_details_pb2.RetryInfo()))
    assert error_from_status(no_delay).retry_delay is None


def test_missing_message_is_said() -> None:
    error = error_from_rpc(rpc_error(grpc.StatusCode.INTERNAL, None))
    assert str(error) == "INTERNAL: no details were given"


def test_status_of_an_item_with_an_unknown_code() -> None:
    error = error_from_status(status_pb2.Status(code=99, message="odd"))
    assert (type(error), error.code) == (spanqa.SpanQAError, grpc.StatusCode.UNKNOWN)


def test_errors_survive_pickling() -> None:
    error = spanqa.InvalidArgumentError(
        "bad", reason="R", field_violations=[spanqa.FieldViolation("f", "d")]
    )
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is spanqa.InvalidArgumentError
    assert vars(copy) == vars(error)
