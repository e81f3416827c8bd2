"""Checks: the field, what is wrong with it, and the limit, before anything is allocated."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa_server.errors import InvalidRequestError
from spanqa_server.qa.requests import (
    Limits,
    ModelDefaults,
    Options,
    Question,
    WindowSize,
    check_question_tokens,
    check_request,
    resolve_windows,
)
from spanqa_server.qa.windows import SPECIAL_TOKENS

LIMITS = Limits(
    max_question_tokens=64,
    max_context_bytes=1000,
    max_top_k=20,
    max_answer_tokens=40,
    max_sequence_tokens=512,
    max_windows=100,
    max_documents=3,
    max_logits_tokens=600,
)
MODEL = ModelDefaults(max_sequence_tokens=384, doc_stride_tokens=128, has_no_answer=False)
NO_ANSWER_MODEL = ModelDefaults(384, 128, has_no_answer=True)


def violations(call: Callable[[], object]) -> dict[str, str]:
    with pytest.raises(InvalidRequestError) as raised:
        call()
    told = {violation.field: violation.description for violation in raised.value.violations}
    assert len(told) == len(raised.value.violations), "a field twice"
    assert all(part in str(raised.value) for item in told.items() for part in item)
    return told


def check(question: str = "Who?", context: str = "Anna.", **options: Any) -> None:
    check_request(Question(question, (context,), Options(**options)), LIMITS, MODEL)


def resolve(question_tokens: int, context_tokens: int, **options: int) -> WindowSize:
    check_question_tokens(question_tokens, LIMITS)
    return resolve_windows(
        Options(**options),  # type: ignore[arg-type]
        LIMITS,
        MODEL,
        question_tokens=question_tokens,
        text_tokens=[context_tokens],
    )


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("question", "", "is empty"),
        ("context", "", "is empty"),
        ("question", " \n\t\u3000", "is blank"),
        ("context", " \n\t\u3000", "is blank"),
        ("context", "x" * 1001, "has 1001 bytes of UTF-8; the limit is 1000"),
        ("context", "é" * 501, "has 1002 bytes of UTF-8; the limit is 1000"),
        ("context", "😀" * 251, "has 1004 bytes of UTF-8; the limit is 1000"),
        ("question", "x" * 16_385, "has 16385 bytes of UTF-8; the limit is 16384"),
        ("question", "😀" * 4_097, "has 16388 bytes of UTF-8; the limit is 16384"),
    ],
)
def test_texts(field: str, text: str, told: str) -> None:
    found = violations(lambda: check(**{field: text}))
    assert list(found) == [field]
    assert told in found[field]


@pytest.mark.parametrize(
    ("option", "maximum"),
    [
        ("top_k", 20),
        ("max_answer_tokens", 40),
        ("max_sequence_tokens", 512),
        ("doc_stride_tokens", 512),
    ],
)
def test_whole_numbers(option: str, maximum: int) -> None:
    for value in (0, 1, maximum):
        check(**{option: value})  # type: ignore[arg-type]
    for value in (-1, maximum + 1, -(2**31), 2**31 - 1):
        found = violations(lambda value=value: check(**{option: value}))  # type: ignore[misc]
        assert list(found) == [f"options.{option}"]
        assert f"is {value};" in found[f"options.{option}"]
        assert f"from 0 (the default) to {maximum}" in found[f"options.{option}"]


@pytest.mark.parametrize(
    ("option", "value", "field", "told"),
    [
        ("min_probability", -0.01, "options.min_probability", "must be from 0 to 1"),
        ("min_probability", 1.01, "options.min_probability", "must be from 0 to 1"),
        ("min_probability", math.nan, "options.min_probability", "is nan"),
        ("min_probability", math.inf, "options.min_probability", "is inf"),
        ("no_answer_threshold", math.nan, "options.no_answer_threshold", "is nan"),
        ("no_answer_threshold", -math.inf, "options.no_answer_threshold", "a finite number"),
        ("allow_no_answer", True, "options.allow_no_answer", "was not trained"),
        ("offset_unit", None, "options.offset_encoding", "UTF8 (1), UTF16 (2) or UTF32 (3)"),
    ],
)
def test_other_options(option: str, value: object, field: str, told: str) -> None:
    found = violations(lambda: check(**{option: value}))  # type: ignore[arg-type]
    assert list(found) == [field]
    assert told in found[field]


def test_every_violation_is_told_at_once() -> None:
    options = Options(
        top_k=-1,
        max_answer_tokens=41,
        allow_no_answer=True,
        no_answer_threshold=math.nan,
        offset_unit=None,
        max_sequence_tokens=513,
        doc_stride_tokens=-5,
        min_probability=math.nan,
    )
    found = violations(lambda: check_request(Question("", (" ",), options), LIMITS, MODEL))
    texts = {"question", "context"}
    names = {
        *("top_k", "max_answer_tokens", "allow_no_answer", "no_answer_threshold"),
        *("offset_encoding", "max_sequence_tokens", "doc_stride_tokens", "min_probability"),
    }
    assert set(found) == texts | {f"options.{name}" for name in names}


def test_what_is_allowed() -> None:
    check(context="x" * 1000)
    check(min_probability=1.0, no_answer_threshold=-1e30)
    allowed = Options(allow_no_answer=True)
    check_request(Question("Who?", ("Anna.",), allowed), LIMITS, NO_ANSWER_MODEL)


@pytest.mark.parametrize(
    ("question_tokens", "options", "room", "doc_stride"),
    [
        (10, {}, 371, 128),
        (10, {"max_sequence_tokens": 512}, 499, 128),
        (10, {"doc_stride_tokens": 370}, 371, 370),
        (10, {"max_sequence_tokens": 142}, 129, 128),
        (10, {"max_sequence_tokens": 141}, 128, 64),
        (10, {"max_sequence_tokens": 40}, 27, 13),
        (10, {"max_sequence_tokens": 14}, 1, 0),
        (64, {}, 317, 128),
    ],
)
def test_defaults(
    question_tokens: int, options: dict[str, int], room: int, doc_stride: int
) -> None:
    windows = -(-max(5 - doc_stride, 1) // (room - doc_stride))
    assert resolve(question_tokens, 5, **options) == WindowSize(room, doc_stride, windows)


@pytest.mark.parametrize(
    ("tokens", "options", "field", "told"),
    [
        ((0, 5), {}, "question", "no character that the model reads"),
        ((5, 0), {}, "context", "no character that the model reads"),
        ((65, 5), {}, "question", "has 65 tokens; the limit is 64"),
        ((10, 5), {"max_sequence_tokens": 13}, "options.max_sequence_tokens", "at least 14"),
        ((10, 5), {"max_sequence_tokens": 1}, "options.max_sequence_tokens", "is 1, which"),
        (
            (10, 5),
            {"doc_stride_tokens": 371},
            "options.doc_stride_tokens",
            "is 371; must be smaller than the window's room for context, 371 tokens",
        ),
        (
            (10, 27 + 100),
            {"max_sequence_tokens": 40, "doc_stride_tokens": 26},
            "context",
            "into 101 windows; the limit is 100",
        ),
    ],
)
def test_windows_that_do_not_work_out(
    tokens: tuple[int, int], options: dict[str, int], field: str, told: str
) -> None:
    found = violations(lambda: resolve(*tokens, **options))
    assert list(found) == [field]
    assert told in found[field]


def test_most_windows_are_allowed() -> None:
    assert resolve(10, 27 + 99, max_sequence_tokens=40, doc_stride_tokens=26).doc_stride == 26


def test_an_explosion_of_windows_is_refused_before_they_are_made() -> None:
    # As many windows as these could not be counted in an array, let alone cut.
    found = violations(lambda: resolve(10, 10**18, max_sequence_tokens=512, doc_stride_tokens=498))
    assert f"into {10**18 - 498} windows; the limit is 100" in found["context"]


@given(st.integers(1, 64), st.integers(0, 512), st.integers(0, 512), st.integers(0, 600))
@settings(deadline=None, max_examples=300)
def test_windows_fit_or_are_refused(question: int, sequence: int, stride: int, model: int) -> None:
    options = Options(max_sequence_tokens=sequence, doc_stride_tokens=stride)
    defaults = ModelDefaults(384, model, has_no_answer=False)
    try:
        size = resolve_windows(options, LIMITS, defaults, question_tokens=question, text_tokens=[1])
    except InvalidRequestError:
        room = (sequence or 384) - question - SPECIAL_TOKENS
        assert room < 1 or stride >= room, "a good request was refused"
    else:
        assert 0 <= size.doc_stride < size.room
        assert size.room + question + SPECIAL_TOKENS == (sequence or 384)
        assert not stride or size.doc_stride == stride
