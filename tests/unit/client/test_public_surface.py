"""What ``import spanqa`` offers. Changing this list is a decision."""

from __future__ import annotations

import inspect

import spanqa

PUBLIC = [
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


def test_public_names_are_these() -> None:
    assert spanqa.__all__ == PUBLIC
    for name in PUBLIC:
        assert inspect.isclass(getattr(spanqa, name))


def test_both_clients_take_the_same_arguments() -> None:
    for name in ("__init__", "answer", "model_info"):
        sync, asyncio_ = (getattr(cls, name) for cls in (spanqa.Client, spanqa.AsyncClient))
        assert inspect.signature(sync) == inspect.signature(asyncio_)
    public = [{n for n in vars(c) if n[0] != "_"} for c in (spanqa.Client, spanqa.AsyncClient)]
    assert public[0] == public[1] == {"answer", "close", "model_info"}


def test_results_have_no_dict() -> None:
    for cls in (spanqa.Answer, spanqa.AnswerResult, spanqa.ModelInfo, spanqa.ModelLimits):
        assert "__slots__" in vars(cls)
