"""What a caller asks for, and the checks of it, before and after it is tokenized."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from spanqa_server.errors import FieldViolation, InvalidRequestError, too_long, too_many
from spanqa_server.qa.offsets import OffsetUnit, utf8_size
from spanqa_server.qa.windows import SPECIAL_TOKENS, count_windows

DEFAULT_MAX_ANSWER_TOKENS = 30
# Refuses absurd questions before they are tokenized; no real word piece is that long.
BYTES_PER_QUESTION_TOKEN = 256
UNREADABLE = "holds no character that the model reads; give some text"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that this server accepts with this model."""

    max_question_tokens: int
    max_context_bytes: int
    max_top_k: int
    max_answer_tokens: int
    max_sequence_tokens: int
    max_windows: int
    max_documents: int
    max_logits_tokens: int
    max_id_bytes: int
    max_window_tokens: int
    """Of all windows of a request: more than this takes more memory than there is."""


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """What an option of 0 stands for, and what the model can do."""

    max_sequence_tokens: int
    doc_stride_tokens: int
    has_no_answer: bool


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a request as they came; 0 means the default."""

    top_k: int = 0
    max_answer_tokens: int = 0
    allow_no_answer: bool = False
    no_answer_threshold: float = 0.0
    offset_unit: OffsetUnit | None = OffsetUnit.UTF32  # None: an unknown value came
    max_sequence_tokens: int = 0
    doc_stride_tokens: int = 0
    min_probability: float = 0.0
    allow_overlap: bool = False
    max_answers_per_document: int = 0

    @property
    def unit(self) -> OffsetUnit:
        """The unit of all offsets, once the options are checked."""
        return self.offset_unit or OffsetUnit.UTF32


@dataclass(frozen=True, slots=True)
class Question:
    """One question about the texts that are searched: one context, or documents.

    `field` is the name of the texts in the caller's request, `ids` are its names for them.
    """

    question: str
    texts: tuple[str, ...]
    options: Options
    field: Literal["context", "documents"] = "context"
    ids: tuple[str, ...] = ()


def check_request(request: Question, limits: Limits, model: ModelDefaults) -> None:
    """Check everything that can be checked before tokenizing.

    Raises:
        InvalidRequestError: with every violation found.
    """
    violations = [*check_texts(request, limits), *check_options(request.options, limits, model)]
    if violations:
        raise InvalidRequestError(*violations)


def check_texts(request: Question, limits: Limits) -> Iterator[FieldViolation]:
    if len(request.texts) > limits.max_documents:
        yield too_many(request.field, len(request.texts), limits.max_documents)
    if not request.texts:
        yield FieldViolation(request.field, "is empty; give at least one")
    for field, texts, maximum in (
        ("question", (request.question,), BYTES_PER_QUESTION_TOKEN * limits.max_question_tokens),
        (request.field, request.texts, limits.max_context_bytes),
    ):
        size = sum(map(utf8_size, texts))
        if texts and all(not text or text.isspace() for text in texts):
            yield FieldViolation(field, f"is {'blank' if any(texts) else 'empty'}; give some text")
        elif size > maximum:
            yield too_long(field, size, maximum)
    longest, place = max(
        ((utf8_size(one), at) for at, one in enumerate(request.ids)), default=(0, 0)
    )
    if longest > limits.max_id_bytes:
        yield too_long(f"documents[{place}].id", longest, limits.max_id_bytes)


def check_options(
    options: Options, limits: Limits, model: ModelDefaults
) -> Iterator[FieldViolation]:
    for field, value, maximum in (
        ("top_k", options.top_k, limits.max_top_k),
        ("max_answers_per_document", options.max_answers_per_document, limits.max_top_k),
        ("max_answer_tokens", options.max_answer_tokens, limits.max_answer_tokens),
        ("max_sequence_tokens", options.max_sequence_tokens, limits.max_sequence_tokens),
        ("doc_stride_tokens", options.doc_stride_tokens, limits.max_sequence_tokens),
    ):
        if not 0 <= value <= maximum:
            yield FieldViolation(
                f"options.{field}", f"is {value}; must be from 0 (the default) to {maximum}"
            )
    if not 0.0 <= options.min_probability <= 1.0:  # NaN fails too
        yield FieldViolation(
            "options.min_probability", f"is {options.min_probability}; must be from 0 to 1"
        )
    if not math.isfinite(options.no_answer_threshold):
        yield FieldViolation(
            "options.no_answer_threshold",
            f"is {options.no_answer_threshold}; must be a finite number",
        )
    if options.allow_no_answer and not model.has_no_answer:
        yield FieldViolation(
            "options.allow_no_answer",
            "this model was not trained to say that there is no answer; leave it off, or use "
            "min_probability",
        )
    if options.offset_unit is None:
        yield FieldViolation(
            "options.offset_encoding", "is unknown; must be UTF8 (1), UTF16 (2) or UTF32 (3)"
        )


def check_question_tokens(question_tokens: int, limits: Limits) -> None:
    """Check the length of a tokenized question.

    Raises:
        InvalidRequestError: it has no tokens, or too many.
    """
    if question_tokens == 0:
        raise InvalidRequestError(FieldViolation("question", UNREADABLE))
    if question_tokens > limits.max_question_tokens:
        raise InvalidRequestError(
            FieldViolation(
                "question",
                f"has {question_tokens} tokens; the limit is {limits.max_question_tokens}: "
                "shorten it, and put background into the context",
            )
        )


@dataclass(frozen=True, slots=True)
class WindowSize:
    """A request's windows: room for context in each, tokens that neighbours share, how many.

    `tokens` are those of all windows together, the question's in each.
    """

    room: int
    doc_stride: int
    windows: int
    tokens: int


def resolve_windows(
    options: Options,
    limits: Limits,
    model: ModelDefaults,
    *,
    question_tokens: int,
    text_tokens: list[int],
    field: str = "context",
) -> WindowSize:
    """Choose the window size, once the tokens of each text are counted.

    Raises:
        InvalidRequestError: no text has a token, or the windows do not work out.
    """
    if not any(text_tokens):
        raise InvalidRequestError(FieldViolation(field, UNREADABLE))
    sequence = options.max_sequence_tokens or model.max_sequence_tokens
    room = sequence - question_tokens - SPECIAL_TOKENS
    if room < 1:
        raise InvalidRequestError(
            FieldViolation(
                "options.max_sequence_tokens",
                f"is {sequence}, which leaves no room for the context beside the question's "
                f"{question_tokens} tokens; must be at least "
                f"{question_tokens + SPECIAL_TOKENS + 1}",
            )
        )
    default = model.doc_stride_tokens
    doc_stride = options.doc_stride_tokens or (default if default < room else room // 2)
    if doc_stride >= room:
        raise InvalidRequestError(
            FieldViolation(
                "options.doc_stride_tokens",
                f"is {doc_stride}; must be smaller than the window's room for context, {room} "
                f"tokens here ({sequence} - {question_tokens} - {SPECIAL_TOKENS})",
            )
        )
    windows, tokens = count_windows(text_tokens, room, doc_stride, question_tokens)
    if windows > limits.max_windows:
        raise InvalidRequestError(
            FieldViolation(
                field,
                f"would be cut into {windows} windows; the limit is {limits.max_windows}: send "
                "less text, or choose larger windows or a smaller overlap",
            )
        )
    if tokens > limits.max_window_tokens:
        raise InvalidRequestError(
            FieldViolation(
                field,
                f"would be cut into windows of {tokens} tokens together, and the server has memory "
                f"for {limits.max_window_tokens}: send less text, or choose a smaller overlap",
            )
        )
    return WindowSize(room, doc_stride, windows, tokens)


def check_logits_tokens(tokens: int, limits: Limits) -> None:
    """Check how many tokens all windows of a ComputeLogits call have.

    Raises:
        InvalidRequestError: too many for one response.
    """
    if tokens > limits.max_logits_tokens:
        raise InvalidRequestError(
            FieldViolation(
                "context",
                f"its windows have {tokens} tokens together; the limit is "
                f"{limits.max_logits_tokens}: send less text, or choose a smaller overlap",
            )
        )
