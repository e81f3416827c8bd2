"""Errors as gRPC statuses with details that a program can read."""

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    InvalidRequestError,
    MalformedRequestError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
)

DOMAIN = "spanqa.v1"
CODES: dict[type[ServerError], int] = {
    InvalidRequestError: code_pb2.INVALID_ARGUMENT,
    MalformedRequestError: code_pb2.INVALID_ARGUMENT,
    DeadlineError: code_pb2.DEADLINE_EXCEEDED,
    OverloadedError: code_pb2.RESOURCE_EXHAUSTED,
    ModelUnavailableError: code_pb2.UNAVAILABLE,
    InferenceError: code_pb2.INTERNAL,
    ServerError: code_pb2.INTERNAL,
}


def to_status(error: ServerError) -> status_pb2.Status:
    """The error as a google.rpc.Status: ErrorInfo always, BadRequest where fields are wrong."""
    details = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    packed = [pack(detail) for detail in details]
    if isinstance(error, InvalidRequestError):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        packed.insert(0, pack(error_details_pb2.BadRequest(field_violations=violations)))
    code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    return status_pb2.Status(code=code, message=str(error), details=packed)


def pack(message: error_details_pb2.BadRequest | error_details_pb2.ErrorInfo) -> any_pb2.Any:
    """The message as a google.protobuf.Any."""
    wrapped = any_pb2.Any()
    wrapped.Pack(message)
    return wrapped
