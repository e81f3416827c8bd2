"""The results of calls, as immutable Python values.

Text offsets count code points, as Python's string indices do. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from spanqa._errors import SpanQAError
from spanqa._sentences import sentence_around


@dataclass(frozen=True, slots=True)
class Answer:
    """A span of the context: ``context[start:end] == text``."""

    text: str
    start: int
    """The start of the span, in code points from 0."""
    end: int
    """One past the span's last code point."""
    score: float
    """``start_logit + end_logit``; answers are sorted by it."""
    probability: float
    """From 0 to 1, among all admissible spans of the request."""
    start_logit: float
    end_logit: float
    document_index: int
    """The index of the document with the span, from 0; 0 if there is only one context."""

    def sentence(self, context: str) -> str:
        """The sentence of the context that holds the answer, for people to read.

        A long one is cut 200 characters before and after the answer.

        Args:
            context: The text that was asked about; for an answer from documents, the text of the
                document at ``document_index``.

        Raises:
            ValueError: The answer is not from this text.
        """
        if context[self.start : self.end] != self.text:
            raise ValueError("context is not the text that this answer is from")
        first, last = sentence_around(context, self.start, self.end)
        return context[first:last].strip()


@dataclass(frozen=True, slots=True)
class Usage:
    """The size of a request. Tokens are word pieces of the model, without special tokens."""

    question_tokens: int
    context_tokens: int
    windows: int
    """The number of windows that the model read."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of each stage, measured by the server, in seconds."""

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
    """True if ``allow_no_answer`` was set and "no answer" won; ``answers`` is then empty."""
    no_answer_probability: float
    """From 0 to 1; 0 if ``allow_no_answer`` was not set."""
    model_version: str
    usage: Usage
    timing: Timing

    @property
    def best(self) -> Answer | None:
        """The best answer, or None if there is none."""
        return self.answers[0] if self.answers else None


@dataclass(frozen=True, slots=True)
class StreamItem:
    """The outcome of one pair of a stream."""

    index: int
    """The index of the pair, from 0, in the order in which pairs were sent."""
    outcome: AnswerResult | SpanQAError
    """The result, or the error of this pair; other pairs are not affected."""


@dataclass(frozen=True, slots=True)
class DocumentsResult:
    """The answers to one question from many documents, ranked jointly, best first."""

    answers: tuple[Answer, ...]
    document_ids: tuple[str, ...]
    """The ids of the documents, in the order of the request."""
    no_answer: bool
    """True if ``allow_no_answer`` was set and "no answer" won in every document."""
    no_answer_probability: float
    """That no document has an answer, from 0 to 1; 0 if ``allow_no_answer`` was not set."""
    model_version: str
    usage: Usage
    """Of all documents together."""
    timing: Timing

    @property
    def best(self) -> Answer | None:
        """The best answer of all documents, or None if there is none."""
        return self.answers[0] if self.answers else None

    def document_id(self, answer: Answer) -> str:
        """The id of the document that contains this answer."""
        return self.document_ids[answer.document_index]


@dataclass(frozen=True, slots=True)
class Window:
    """One window, ``[CLS] question [SEP] piece [SEP]``. Each field has one entry for each token."""

    token_ids: tuple[int, ...]
    """The tokens' numbers in the vocabulary."""
    tokens: tuple[str, ...]
    """The tokens as text (word pieces)."""
    sequence_ids: tuple[int, ...]
    """0 for special tokens, 1 for the question, 2 for the context."""
    starts: tuple[int, ...]
    """The token's start in question or context, in code points; 0 for special tokens."""
    ends: tuple[int, ...]
    """One past the token's last code point; 0 for special tokens."""
    start_logits: tuple[float, ...]
    """The model's output, for every token."""
    end_logits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LogitsResult:
    """The logits for one question and one context, for callers with their own decoding."""

    windows: tuple[Window, ...]
    """In the order of the text; neighbours share some tokens."""
    model_version: str
    usage: Usage
    timing: Timing
    """``decode`` is 0."""


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """The server's limits; above them a call raises ``InvalidArgumentError``.

    A message over ``max_message_bytes`` raises ``ResourceExhaustedError`` instead.
    """

    max_question_tokens: int
    max_context_bytes: int
    """Bytes of UTF-8 in a context, or in all documents of a call together."""
    max_top_k: int
    max_answer_tokens: int
    max_sequence_tokens: int
    max_batch_items: int
    """Pairs in one ``answer_batch``."""
    max_documents: int
    """Documents in one ``answer_from_documents``."""
    max_message_bytes: int
    """Bytes in one gRPC message."""
    max_windows: int
    """Windows of one context, or of all documents of a call together."""
    max_logits_tokens: int
    """Tokens in all windows of one ``compute_logits``."""
    max_stream_pairs: int
    """Pairs of a stream that the server works on at a time; further pairs wait."""
    default_timeout: float
    """Seconds for a call, or for a pair of a stream, without a deadline."""


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
    """An SPDX id, or empty if unknown."""
    dtype: str
    """The type of the weights, such as ``float32``."""
    max_sequence_tokens: int
    """The default length of a window, in tokens."""
    doc_stride_tokens: int
    """The default overlap of neighbouring windows, in tokens of the context."""
    has_no_answer: bool
    """Whether ``allow_no_answer`` is allowed."""
    exact_match: float | None
    """Exact match on SQuAD v1.1 dev, in percent; None if it was not measured."""
    f1: float | None
    """F1 on SQuAD v1.1 dev, in percent; None if it was not measured."""
    limits: ModelLimits
