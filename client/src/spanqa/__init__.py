"""Client for SpanQA: a question and a text go in, the span that answers comes out.

Everything public is here, except ``spanqa.squad``, which reads files of questions and scores
answers. Modules whose names start with ``_`` may change in any release.
"""

from importlib.metadata import version as _version

from spanqa._async_client import AsyncClient
from spanqa._client import Client
from spanqa._errors import (
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
from spanqa._inputs import Document, Options, Pair
from spanqa._results import (
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
    "__version__",
]

__version__ = _version("spanqa")

# Tracebacks and documentation show where a name is imported from, not where it is defined.
for _name in __all__:
    if _name != "__version__":
        globals()[_name].__module__ = __name__
