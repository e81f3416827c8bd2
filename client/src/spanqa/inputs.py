"""What the calls take, as immutable Python values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Options:
    """How to answer; the keywords of ``answer`` and ``answer_from_documents`` are the same.

    Limits are the server's (``model_info().limits``): what is above them comes back as
    ``InvalidArgumentError``.
    """

    top_k: int = 1
    """How many answers at most, best first."""
    max_answer_tokens: int | None = None
    """Longest answer in tokens; None means the server's default, 30."""
    allow_no_answer: bool = False
    """Whether the reply may be that the text holds no answer; needs a model trained for it."""
    no_answer_threshold: float = 0.0
    """By how much "no answer" must beat the best span, in logit units."""
    max_sequence_tokens: int | None = None
    """Length of a window in tokens; None means the model's own."""
    doc_stride_tokens: int | None = None
    """Tokens of the text that neighbouring windows share; None means the model's own."""
    min_probability: float = 0.0
    """Answers with a smaller probability are left out, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question about a text, for ``answer_batch`` and ``answer_stream``."""

    question: str
    context: str
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class Document:
    """A text among many, for ``answer_from_documents``."""

    text: str
    id: str = ""
    """A name of the caller's choice, given back with the answers; may be empty."""


PairLike: TypeAlias = Pair | tuple[str, str]
"""A ``Pair``, or ``(question, context)`` for one with default options."""

DocumentsLike: TypeAlias = Iterable[str | Document] | Mapping[str, str]
"""Texts, ``Document`` values or both; or a mapping from ids to texts."""
