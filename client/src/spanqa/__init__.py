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
from spanqa.inputs import Document, Options, Pair
from spanqa.results import (
    Answer,
    AnswerResult,
    DocumentsResult,
    LogitsResult,
    ModelInfo,
    ModelLimits,
    StreamItem,
    Timing,
    Usage,
    Window,
)

__all__ = [
    "Answer",
    "AnswerResult",
    "AsyncClient",
    "CallCancelledError",
    "Client",
    "DeadlineExceededError",
    "Document",
    "DocumentsResult",
    "FailedPreconditionError",
    "FieldViolation",
    "InternalError",
    "InvalidArgumentError",
    "LogitsResult",
    "ModelInfo",
    "ModelLimits",
    "Options",
    "Pair",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "SpanQAError",
    "StreamItem",
    "Timing",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "Usage",
    "Window",
]
