"""What ``import spanqa`` offers. Changing this list is a decision."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import pkgutil
import typing

import spanqa
from spanqa._inputs import OptionArguments

PUBLIC = [
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
MODULES = {"cli", "playground", "squad", "v1"}


def test_public_names_are_these() -> None:
    assert spanqa.__all__ == [*PUBLIC, "__version__"]
    for name in PUBLIC:
        assert inspect.isclass(getattr(spanqa, name))
        assert getattr(spanqa, name).__module__ == "spanqa", "as users import it"


def test_all_other_modules_are_private() -> None:
    modules = {module.name for module in pkgutil.iter_modules(spanqa.__path__)}
    assert {name for name in modules if not name.startswith("_")} == MODULES
    reachable = {name for name in vars(spanqa) if not name.startswith("_")}
    assert reachable - MODULES == set(PUBLIC)


def test_the_version_is_that_of_the_distribution() -> None:
    assert spanqa.__version__ == importlib.metadata.version("spanqa")


METHODS = {
    "answer",
    "answer_batch",
    "answer_from_documents",
    "answer_stream",
    "close",
    "compute_logits",
    "model_info",
}


def test_both_clients_take_the_same_arguments() -> None:
    public = [{n for n in vars(c) if n[0] != "_"} for c in (spanqa.Client, spanqa.AsyncClient)]
    assert public[0] == public[1] == METHODS
    for name in {"__init__", *METHODS} - {"answer_stream"}:
        sync, asyncio_ = (getattr(cls, name) for cls in (spanqa.Client, spanqa.AsyncClient))
        assert inspect.signature(sync) == inspect.signature(asyncio_)
    streams = (spanqa.Client.answer_stream, spanqa.AsyncClient.answer_stream)
    names = [list(inspect.signature(stream).parameters) for stream in streams]
    assert names[0] == names[1] == ["self", "pairs", "timeout"]


def test_the_options_are_the_keywords_of_every_answer() -> None:
    options = typing.get_type_hints(spanqa.Options)
    assert typing.get_type_hints(OptionArguments) == options
    for method in (spanqa.Client.answer, spanqa.Client.answer_from_documents):
        keywords = inspect.signature(method, eval_str=True).parameters["options"]
        assert keywords.kind is keywords.VAR_KEYWORD
        assert keywords.annotation == typing.Unpack[OptionArguments]


def test_inputs_and_results_are_immutable() -> None:
    values = [cls for cls in map(vars(spanqa).get, PUBLIC) if dataclasses.is_dataclass(cls)]
    assert len(values) == 14
    for cls in values:
        assert "__slots__" in vars(cls)
        assert vars(cls)["__dataclass_params__"].frozen
