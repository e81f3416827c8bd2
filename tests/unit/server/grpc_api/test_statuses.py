"""Every error is a status that a program can read."""

import pytest
from google.protobuf.any_pb2 import Any
from google.rpc import code_pb2, error_details_pb2

from spanqa_server import errors
from spanqa_server.grpc_api.statuses import retry_metadata, to_status


def error_info(detail: Any) -> error_details_pb2.ErrorInfo:
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    return info


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (errors.MalformedRequestError("x"), code_pb2.INVALID_ARGUMENT, "MALFORMED_REQUEST"),
        (errors.DeadlineError("x"), code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (errors.UnauthenticatedError("x"), code_pb2.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (errors.ModelUnavailableError("x"), code_pb2.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (errors.VersionGoneError("x"), code_pb2.UNAVAILABLE, "MODEL_UNAVAILABLE"),
        (errors.InferenceError("x"), code_pb2.INTERNAL, "INFERENCE_FAILED"),
        (errors.ServerError("x"), code_pb2.INTERNAL, "INTERNAL"),
    ],
)
def test_code_and_reason(error: errors.ServerError, code: int, reason: str) -> None:
    status = to_status(error)
    assert (status.code, status.message) == (code, "x")
    [detail] = status.details
    assert error_info(detail) == error_details_pb2.ErrorInfo(reason=reason, domain="spanqa.v1")


def test_when_to_come_again() -> None:
    error = errors.OverloadedError("full", 1.25)
    status = to_status(error)
    assert (status.code, status.message) == (code_pb2.RESOURCE_EXHAUSTED, "full")
    retry, info = status.details
    assert error_info(info).reason == "OVERLOADED"
    wait = error_details_pb2.RetryInfo()
    assert retry.Unpack(wait)
    assert wait.retry_delay.ToMilliseconds() == 1250
    assert retry_metadata(error) == (("grpc-retry-pushback-ms", "1250"),)
    assert retry_metadata(errors.DeadlineError("late")) == ()


def test_wrong_fields() -> None:
    first = errors.FieldViolation("question", "is empty; give some text")
    second = errors.FieldViolation("options.top_k", "is -1; must be from 0 (the default) to 100")
    status = to_status(errors.InvalidRequestError(first, second))
    assert status.code == code_pb2.INVALID_ARGUMENT
    assert status.message == (
        "question: is empty; give some text; "
        "options.top_k: is -1; must be from 0 (the default) to 100"
    )
    wrong, info = status.details
    assert error_info(info).reason == "INVALID_REQUEST"
    request = error_details_pb2.BadRequest()
    assert wrong.Unpack(request)
    told = [(item.field, item.description) for item in request.field_violations]
    assert told == [(item.field, item.description) for item in (first, second)]


def descendants(kind: type[errors.ServerError]) -> set[type[errors.ServerError]]:
    return {kind}.union(*map(descendants, kind.__subclasses__()))


def test_every_error_of_a_call_has_a_code_of_its_own_choice() -> None:
    kinds = descendants(errors.ServerError) - {errors.ServerError, errors.StartupError}
    assert len(kinds) == 8
    for kind in kinds - {errors.InvalidRequestError, errors.InferenceError}:
        assert to_status(kind("x")).code != code_pb2.INTERNAL
    assert len({kind.reason for kind in kinds - {errors.VersionGoneError}}) == 7


def test_fields_known_to_the_caller_under_another_name() -> None:
    error = errors.InvalidRequestError(
        errors.FieldViolation("options.top_k", "is -1"), errors.FieldViolation("question", "is")
    )
    told = [violation.field for violation in error.moved("options.", "").violations]
    assert told == ["top_k", "question"]
    inner = error.moved("", "request.")
    assert [violation.field for violation in inner.violations] == [
        *("request.options.top_k", "request.question")
    ]
    assert str(inner) == "request.options.top_k: is -1; request.question: is"
