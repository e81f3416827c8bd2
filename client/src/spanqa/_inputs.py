"""The inputs of calls, as immutable Python values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypedDict


@dataclass(frozen=True, slots=True)
class Options:
    """How to answer. ``answer`` and ``answer_from_documents`` have the same keyword arguments.

    The server has limits (``model_info().limits``); values above them raise
    ``InvalidArgumentError``.
    """

    top_k: int = 1
    """The largest number of answers, best first."""
    max_answer_tokens: int | None = None
    """The longest answer, in tokens; None means the server's default, 30."""
    allow_no_answer: bool = False
    """Whether "no answer in this text" is allowed as a reply; needs a model trained for it."""
    no_answer_threshold: float = 0.0
    """How far "no answer" must score above the best span to win, in logits."""
    max_sequence_tokens: int | None = None
    """The length of a window, in tokens; None means the model's default."""
    doc_stride_tokens: int | None = None
    """How many tokens of the text neighbouring windows share; None means the model's default."""
    min_probability: float = 0.0
    """Answers with a smaller probability, from 0 to 1, are left out."""
    allow_overlap: bool = False
    """Whether answers may share characters; else each is the best that shares none with those
    before it."""
    max_answers_per_document: int | None = None
    """The largest number of answers from one document; None means ``top_k``."""


class OptionArguments(TypedDict, total=False):
    """The fields of ``Options``, as keyword arguments of a call."""

    top_k: int
    max_answer_tokens: int | None
    allow_no_answer: bool
    no_answer_threshold: float
    max_sequence_tokens: int | None
    doc_stride_tokens: int | None
    min_probability: float
    allow_overlap: bool
    max_answers_per_document: int | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A question about a text, for ``answer_batch`` and ``answer_stream``."""

    question: str
    context: str
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class Document:
    """One of many texts, for ``answer_from_documents``."""

    text: str
    id: str = ""
    """A name that you choose and that is returned with the answers; may be empty."""


PairLike: TypeAlias = Pair | tuple[str, str]
"""A ``Pair``, or a tuple ``(question, context)`` for default options."""

DocumentsLike: TypeAlias = Iterable[str | Document] | Mapping[str, str]
"""Texts, ``Document`` values, or both; or a mapping from ids to texts."""
