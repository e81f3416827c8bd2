"""The errors of calls, all under ``SpanQAError``.

The gRPC status code determines the class; codes without a class of their own raise ``SpanQAError``
itself. The original ``grpc.RpcError`` is the ``__cause__``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import (  # type: ignore[import-untyped,unused-ignore]
    error_details_pb2,
    status_pb2,
)
from grpc_status import rpc_status

CLOSED = "the client was closed during the call"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """An invalid field of the request, and the reason."""

    field: str
    """The field's path in the request, such as ``options.top_k``."""
    description: str


class SpanQAError(Exception):
    """A call failed.

    Attributes:
        code: The gRPC status code.
        message: The message of the server, or of gRPC itself.
        reason: The stable reason of ``google.rpc.ErrorInfo``, such as ``OVERLOADED``; without one
            the name of the code, such as ``UNAVAILABLE`` if no server was reached.
        retry_delay: Seconds after which the server asks for a retry, or None.
        field_violations: The refused fields; empty except for invalid arguments.
    """

    default_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        retry_delay: float | None = None,
        field_violations: Iterable[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.reason = reason or self.code.name
        self.retry_delay = retry_delay
        self.field_violations = tuple(field_violations)

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


class CallCancelledError(SpanQAError):
    """The call was cancelled by the server, or because the client was closed."""

    default_code = grpc.StatusCode.CANCELLED


class InvalidArgumentError(SpanQAError):
    """The request can never succeed; ``field_violations`` has the reasons."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceededError(SpanQAError):
    """The call had no reply within its timeout."""

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class PermissionDeniedError(SpanQAError):
    """The caller is authenticated, but not allowed to do this."""

    default_code = grpc.StatusCode.PERMISSION_DENIED


class ResourceExhaustedError(SpanQAError):
    """The server is overloaded, or a message exceeds ``max_message_bytes``."""

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPreconditionError(SpanQAError):
    """The server is not in a state in which it can do this."""

    default_code = grpc.StatusCode.FAILED_PRECONDITION


class UnimplementedError(SpanQAError):
    """The server does not support this call."""

    default_code = grpc.StatusCode.UNIMPLEMENTED


class InternalError(SpanQAError):
    """The server failed because of a fault of its own."""

    default_code = grpc.StatusCode.INTERNAL


class UnavailableError(SpanQAError):
    """The server could not be reached, retries included."""

    default_code = grpc.StatusCode.UNAVAILABLE


class UnauthenticatedError(SpanQAError):
    """The server requires a token, or refuses the one that was sent."""

    default_code = grpc.StatusCode.UNAUTHENTICATED


_CLASS_OF_CODE = {cls.default_code: cls for cls in SpanQAError.__subclasses__()}
_CODE_OF_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_Detail = TypeVar("_Detail", bound=Message)


def error_from_rpc(error: grpc.RpcError, proxy: str = "") -> SpanQAError:
    """Converts the error of a blocking or asyncio gRPC call, with its ``google.rpc`` details.

    The message names the proxy where one may be the reason that the server is not reached.
    """
    code = error.code()
    message = error.details() or "no details were given"
    if proxy and code is grpc.StatusCode.UNAVAILABLE:
        message = f"{message} (through a proxy: {proxy})"
    try:
        status = rpc_status.from_call(cast(grpc.Call, error))
    except (ValueError, DecodeError):
        # The details contradict the status or cannot be parsed: use the status alone.
        status = None
    return _error(code, message, () if status is None else status.details)


def error_from_status(status: status_pb2.Status) -> SpanQAError:
    """Converts a ``google.rpc.Status``, such as that of one item of a batch."""
    code = _CODE_OF_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(code, status.message, status.details)


def _error(code: grpc.StatusCode, message: str, details: Iterable[Any]) -> SpanQAError:
    details = tuple(details)
    info = _first(details, error_details_pb2.ErrorInfo)
    retry = _first(details, error_details_pb2.RetryInfo)
    bad_request = _first(details, error_details_pb2.BadRequest)
    violations = bad_request.field_violations if bad_request is not None else ()
    delay = retry.retry_delay if retry is not None and retry.HasField("retry_delay") else None
    return _CLASS_OF_CODE.get(code, SpanQAError)(
        message,
        code=code,
        reason=info.reason if info is not None else "",
        retry_delay=None if delay is None else delay.seconds + delay.nanos / 1e9,
        field_violations=(FieldViolation(v.field, v.description) for v in violations),
    )


def _first(details: Iterable[Any], wanted: type[_Detail]) -> _Detail | None:
    for detail in details:
        message = wanted()
        if detail.Is(wanted.DESCRIPTOR):
            try:
                detail.Unpack(message)
            except DecodeError:
                continue
            return message
    return None
