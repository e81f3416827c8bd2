"""What a caller asks for, the limits, and the checks that need no tokens yet."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from spanqa_server.errors import FieldViolation, InvalidRequestError
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.windows import SPECIAL_TOKENS, count_windows

DEFAULT_MAX_ANSWER_TOKENS = 30
# Refuses absurd questions before they are tokenized; no real word piece is that long.
BYTES_PER_QUESTION_TOKEN = 256
UNREADABLE = "holds no character that the model reads; give some text"


@dataclass(frozen=True, slots=True)
class Limits:
    """What this server takes with this model."""

    max_question_tokens: int
    max_context_bytes: int
    max_top_k: int
    max_answer_tokens: int
    max_sequence_tokens: int
    max_windows: int


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """What 0 means, and what the model can do."""

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


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one context."""

    question: str
    context: str
    options: Options


def check_request(request: Question, limits: Limits, model: ModelDefaults) -> None:
    """Check everything that can be checked before tokenizing.

    Raises:
        InvalidRequestError: with every violation found.
    """
    violations = [*check_texts(request, limits), *check_options(request.options, limits, model)]
    if violations:
        raise InvalidRequestError(*violations)


def check_texts(request: Question, limits: Limits) -> Iterator[FieldViolation]:
    for field, text, maximum in (
        ("question", request.question, BYTES_PER_QUESTION_TOKEN * limits.max_question_tokens),
        ("context", request.context, limits.max_context_bytes),
    ):
        size = len(text.encode())
        if not text or text.isspace():
            yield FieldViolation(field, f"is {'blank' if text else 'empty'}; give some text")
        elif size > maximum:
            yield FieldViolation(
                field, f"has {size} bytes of UTF-8; the limit is {maximum}: send a part of it"
            )


def check_options(
    options: Options, limits: Limits, model: ModelDefaults
) -> Iterator[FieldViolation]:
    for field, value, maximum in (
        ("top_k", options.top_k, limits.max_top_k),
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
    """How a request's windows are cut: context tokens per window, and shared by neighbours."""

    room: int
    doc_stride: int


def resolve_windows(
    options: Options,
    limits: Limits,
    model: ModelDefaults,
    *,
    question_tokens: int,
    context_tokens: int,
) -> WindowSize:
    """Settle the window size, now that the number of tokens is known.

    Raises:
        InvalidRequestError: the context has no tokens, or the windows do not work out.
    """
    if context_tokens == 0:
        raise InvalidRequestError(FieldViolation("context", UNREADABLE))
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
    windows = count_windows(context_tokens, room, doc_stride)
    if windows > limits.max_windows:
        raise InvalidRequestError(
            FieldViolation(
                "context",
                f"would be cut into {windows} windows; the limit is {limits.max_windows}: send "
                "less text, or choose larger windows or a smaller overlap",
            )
        )
    return WindowSize(room, doc_stride)
