"""Errors as gRPC statuses with details that a program can read."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    InvalidRequestError,
    MalformedRequestError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
    UnauthenticatedError,
)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

DOMAIN = "spanqa.v1"
CODES: dict[type[ServerError], int] = {
    InvalidRequestError: code_pb2.INVALID_ARGUMENT,
    MalformedRequestError: code_pb2.INVALID_ARGUMENT,
    UnauthenticatedError: code_pb2.UNAUTHENTICATED,
    DeadlineError: code_pb2.DEADLINE_EXCEEDED,
    OverloadedError: code_pb2.RESOURCE_EXHAUSTED,
    ModelUnavailableError: code_pb2.UNAVAILABLE,
    InferenceError: code_pb2.INTERNAL,
    ServerError: code_pb2.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """The status that a call ends with."""

    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailing: tuple[tuple[str, str | bytes], ...] = ()

    @classmethod
    def of(cls, error: ServerError) -> Ending:
        """What the caller is told of an error."""
        status = rpc_status.to_status(to_status(error))
        return cls(status.code, status.details, (*status.trailing_metadata, *retry_metadata(error)))

    async def tell(self, context: Context) -> None:
        """Abort the call, unless it was answered."""
        if self.code is not grpc.StatusCode.OK:
            await context.abort(self.code, self.details, self.trailing)


async def abort(context: Context, error: ServerError) -> None:
    """End a call with the status of an error."""
    await Ending.of(error).tell(context)


def to_status(error: ServerError) -> status_pb2.Status:
    """The error as a google.rpc.Status.

    ErrorInfo always, BadRequest where fields are wrong, RetryInfo where it may be tried again.
    """
    packed = [error_info(error.reason)]
    if isinstance(error, InvalidRequestError):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        packed.insert(0, pack(error_details_pb2.BadRequest(field_violations=violations)))
    if isinstance(error, OverloadedError):
        wait = error_details_pb2.RetryInfo()
        wait.retry_delay.FromMilliseconds(round(error.retry_seconds * 1e3))
        packed.insert(0, pack(wait))
    code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    return status_pb2.Status(code=code, message=str(error), details=packed)


@cache
def error_info(reason: str) -> any_pb2.Any:
    """What names the reason to programs."""
    return pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))


def retry_metadata(error: ServerError) -> tuple[tuple[str, str], ...]:
    """The metadata that tells gRPC's own retries when to try again."""
    if isinstance(error, OverloadedError):
        return (("grpc-retry-pushback-ms", str(round(error.retry_seconds * 1e3))),)
    return ()


def pack(message: Message) -> any_pb2.Any:
    """The message as a google.protobuf.Any."""
    wrapped = any_pb2.Any()
    wrapped.Pack(message)
    return wrapped
