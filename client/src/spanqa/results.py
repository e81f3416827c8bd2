"""What the service replies, as immutable Python values.

Text offsets count code points, as Python's own string indices do; times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from spanqa.errors import SpanQAError


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
class StreamItem:
    """What became of one pair of a stream."""

    index: int
    """Which pair it was, from 0, in the order in which the stream took them."""
    outcome: AnswerResult | SpanQAError
    """The result, or the error that the pair failed with; the other pairs are not affected."""


@dataclass(frozen=True, slots=True)
class DocumentsResult:
    """The answers to one question from many documents, ranked jointly, best first."""

    answers: tuple[Answer, ...]
    document_ids: tuple[str, ...]
    """The ids of the documents, in the order of the request."""
    no_answer: bool
    """True where ``allow_no_answer`` was set and "no answer" won in every document."""
    no_answer_probability: float
    """That no document holds an answer, from 0 to 1; 0 where ``allow_no_answer`` was not set."""
    model_version: str
    usage: Usage
    """Of all documents together."""
    timing: Timing

    @property
    def best(self) -> Answer | None:
        """The best answer of all documents, or None where there is none."""
        return self.answers[0] if self.answers else None

    def document_id(self, answer: Answer) -> str:
        """The id of the document in which this answer of the result is."""
        return self.document_ids[answer.document_index]


@dataclass(frozen=True, slots=True)
class Window:
    """One window, ``[CLS] question [SEP] piece [SEP]``: every field has one entry a token."""

    token_ids: tuple[int, ...]
    """The tokens' numbers in the vocabulary."""
    tokens: tuple[str, ...]
    """The tokens as text (word pieces)."""
    sequence_ids: tuple[int, ...]
    """0 special token, 1 question, 2 context."""
    starts: tuple[int, ...]
    """Where the token starts in the question or the context, in code points; 0 for special."""
    ends: tuple[int, ...]
    """One past the token's last code point; 0 for special tokens."""
    start_logits: tuple[float, ...]
    """As the model gave them, for every token."""
    end_logits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LogitsResult:
    """The raw results of one question and one context, for callers that decode themselves."""

    windows: tuple[Window, ...]
    """In the order of the text; neighbours share some tokens."""
    model_version: str
    usage: Usage
    timing: Timing
    """``decode`` is 0."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """What the server accepts at most; above it a call raises ``InvalidArgumentError``.

    A message over ``max_message_bytes`` raises ``ResourceExhaustedError`` instead.
    """

    max_question_tokens: int
    max_context_bytes: int
    """Bytes of UTF-8, of a context or of all documents of a call together."""
    max_top_k: int
    max_answer_tokens: int
    max_sequence_tokens: int
    max_batch_items: int
    """Pairs of ``answer_batch``."""
    max_documents: int
    """Documents of ``answer_from_documents``."""
    max_message_bytes: int
    """Bytes of one gRPC message."""
    max_windows: int
    """Windows that one context, or all documents of a call together, may be cut into."""
    max_logits_tokens: int
    """Tokens of all windows of ``compute_logits``."""
    max_stream_pairs: int
    """Pairs of a stream that are worked on at a time; the stream waits there, nothing fails."""
    default_timeout: float
    """Seconds for a call, or for a pair of a stream, whose caller sets no deadline."""


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
