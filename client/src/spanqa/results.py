"""What the service replies, as immutable Python values.

Text offsets count code points, as Python's own string indices do; times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A span of the context: ``context[start:end] == text``."""

    text: str
    start: int
    """Where the span starts, in code points from 0."""
    end: int
    """One past the span's last code point."""
    score: float
    """``start_logit + end_logit``, by which answers are ranked."""
    probability: float
    """From 0 to 1, over every admissible span of the request."""
    start_logit: float
    end_logit: float
    document_index: int
    """Which document the span is in, from 0; 0 where there is one context."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost. Tokens are the model's word pieces, special tokens not counted."""

    question_tokens: int
    context_tokens: int
    windows: int
    """How many windows the model read."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time went, as seen by the server, in seconds."""

    tokenize: float
    queue: float
    infer: float
    decode: float
    total: float


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """The answers to one question about one context, best first."""

    answers: tuple[Answer, ...]
    no_answer: bool
    """True where ``allow_no_answer`` was set and "no answer" won; ``answers`` is then empty."""
    no_answer_probability: float
    """From 0 to 1; 0 where ``allow_no_answer`` was not set."""
    model_version: str
    usage: Usage
    timing: Timing

    @property
    def best(self) -> Answer | None:
        """The best answer, or None where there is none."""
        return self.answers[0] if self.answers else None


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What the server accepts at most; above it a call raises ``InvalidArgumentError``."""

    max_question_tokens: int
    max_context_bytes: int
    """Bytes of UTF-8, of a context or of all documents of a call together."""
    max_top_k: int
    max_answer_tokens: int
    max_sequence_tokens: int
    max_batch_items: int
    """0 where the server has no such method."""
    max_documents: int
    """0 where the server has no such method."""
    max_message_bytes: int
    """Bytes of one gRPC message."""
    max_windows: int
    """Windows that one context may be cut into."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model that serves now."""

    name: str
    version: str
    checksum: str
    """sha256 of the exported model file, in hexadecimal."""
    source: str
    revision: str
    license: str
    """An SPDX id, or empty where it is not known."""
    dtype: str
    """The type of the weights, such as ``float32``."""
    max_sequence_tokens: int
    """Default length of a window, in tokens."""
    doc_stride_tokens: int
    """Default overlap of neighbouring windows, in context tokens."""
    has_no_answer: bool
    """Whether ``allow_no_answer`` may be set."""
    exact_match: float | None
    """Exact match on SQuAD v1.1 dev in percent, None where it was not measured."""
    f1: float | None
    """F1 on SQuAD v1.1 dev in percent, None where it was not measured."""
    limits: ModelLimits
