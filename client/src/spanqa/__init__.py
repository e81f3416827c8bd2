"""Client for SpanQA: a question and a text go in, the span that answers comes out."""

from spanqa.async_client import AsyncClient
from spanqa.client import Client
from spanqa.errors import (
    CallCancelledError,
    DeadlineExceededError,
    FailedPreconditionError,
    FieldViolation,
    InternalError,
    InvalidArgumentError,
    PermissionDeniedError,
    ResourceExhaustedError,
    SpanQAError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from spanqa.results import Answer, AnswerResult, ModelInfo, ModelLimits, Timing, Usage

__all__ = [
    "Answer",
    "AnswerResult",
    "AsyncClient",
    "CallCancelledError",
    "Client",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "FieldViolation",
    "InternalError",
    "InvalidArgumentError",
    "ModelInfo",
    "ModelLimits",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "SpanQAError",
    "Timing",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "Usage",
]
