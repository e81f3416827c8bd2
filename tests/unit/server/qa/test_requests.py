"""Checks: the field, what is wrong with it, and the limit, before anything is allocated."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa_server.errors import InvalidRequestError
from spanqa_server.qa.requests import (
    ModelDefaults,
    Options,
    Question,
    WindowSize,
    check_logits_tokens,
    check_question_tokens,
    check_request,
    resolve_windows,
)
from spanqa_server.qa.windows import SPECIAL_TOKENS
from unit.server.qa.played import make_limits
from unit.server.reference import cut_windows

LIMITS = make_limits(
    max_question_tokens=64,
    max_context_bytes=1000,
    max_top_k=20,
    max_answer_tokens=40,
    max_sequence_tokens=512,
    max_windows=100,
    max_documents=3,
    max_logits_tokens=600,
    max_id_bytes=1024,
)
MODEL = ModelDefaults(max_sequence_tokens=384, doc_stride_tokens=128, has_no_answer=False)
NO_ANSWER_MODEL = ModelDefaults(384, 128, has_no_answer=True)


def violations(call: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequestError) as raised:
        call()
    told = [(violation.field, violation.description) for violation in raised.value.violations]
    assert all(part in str(raised.value) for item in told for part in item)
    return told


def check(
    question: str = "Who?",
    context: str = "Anna.",
    documents: Any = None,
    **options: Any,
) -> None:
    field: Any = "context" if documents is None else "documents"
    texts = (context,) if documents is None else documents
    check_request(Question(question, texts, Options(**options), field), LIMITS, MODEL)


def resolve(
    question_tokens: int, *text_tokens: int, field: Any = "context", **options: Any
) -> WindowSize:
    check_question_tokens(question_tokens, LIMITS)
    return resolve_windows(
        Options(**options),
        LIMITS,
        MODEL,
        question_tokens=question_tokens,
        text_tokens=list(text_tokens),
        field=field,
    )


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("question", "", "is empty; give some text"),
        ("context", "", "is empty; give some text"),
        ("question", " \n\t\u3000", "is blank; give some text"),
        ("context", " \n\t\u3000", "is blank; give some text"),
        ("context", "x" * 1001, "has 1001 bytes of UTF-8; the limit is 1000"),
        ("context", "é" * 501, "has 1002 bytes of UTF-8; the limit is 1000"),
        ("question", "😀" * 4_097, "has 16388 bytes of UTF-8; the limit is 16384"),
        ("documents", (), "is empty; give at least one"),
        ("documents", ("", "", ""), "is empty; give some text"),
        ("documents", ("", " \u3000\n"), "is blank; give some text"),
        ("documents", tuple("abcd"), "has 4 entries; the limit is 3: send fewer, the most prom"),
        ("documents", ("é" * 251, "", "é" * 250), "has 1002 bytes of UTF-8; the limit is 1000"),
    ],
)
def test_texts(field: str, text: Any, told: str) -> None:
    [(named, description)] = violations(lambda: check(**{field: text}))
    assert named == field
    assert told in description


LARGEST = {
    "top_k": 20,
    "max_answers_per_document": 20,
    "max_answer_tokens": 40,
    "max_sequence_tokens": 512,
    "doc_stride_tokens": 512,
}


@pytest.mark.parametrize("option", LARGEST)
def test_whole_numbers(option: str) -> None:
    maximum = LARGEST[option]
    for value in (0, 1, maximum):
        check(**{option: value})  # type: ignore[arg-type]
    for value in (-1, maximum + 1, -(2**31), 2**31 - 1):
        found = violations(lambda value=value: check(**{option: value}))  # type: ignore[misc]
        told = f"is {value}; must be from 0 (the default) to {maximum}"
        assert found == [(f"options.{option}", told)]


@pytest.mark.parametrize(
    ("option", "value", "field", "told"),
    [
        ("min_probability", -0.01, "options.min_probability", "must be from 0 to 1"),
        ("min_probability", 1.01, "options.min_probability", "must be from 0 to 1"),
        ("min_probability", math.nan, "options.min_probability", "is nan"),
        ("no_answer_threshold", math.nan, "options.no_answer_threshold", "is nan"),
        ("no_answer_threshold", -math.inf, "options.no_answer_threshold", "a finite number"),
        ("allow_no_answer", True, "options.allow_no_answer", "was not trained"),
        ("offset_unit", None, "options.offset_encoding", "UTF8 (1), UTF16 (2) or UTF32 (3)"),
    ],
)
def test_other_options(option: str, value: object, field: str, told: str) -> None:
    [(named, description)] = violations(lambda: check(**{option: value}))  # type: ignore[arg-type]
    assert named == field
    assert told in description


def test_every_violation_is_told_at_once() -> None:
    options: Any = {
        "top_k": -1,
        "max_answer_tokens": 41,
        "max_sequence_tokens": 513,
        "doc_stride_tokens": -5,
        "min_probability": math.nan,
        "no_answer_threshold": math.nan,
        "allow_no_answer": True,
    }
    found = violations(lambda: check("", " ", offset_unit=None, **options))
    names = ["question", "context", *(f"options.{n}" for n in [*options, "offset_encoding"])]
    assert [field for field, _ in found] == names
    found = violations(lambda: check(documents=("x" * 300,) * 4))
    assert ["entries" in found[0][1], "1200 bytes" in found[1][1]] == [True, True]


def test_what_is_allowed() -> None:
    check(context="x" * 1000, min_probability=1.0, no_answer_threshold=-1e30)
    check(documents=("x" * 500, "x" * 499, " "))
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
    tokens = room + question_tokens + SPECIAL_TOKENS
    assert resolve(question_tokens, room, **options) == WindowSize(room, doc_stride, 1, tokens)


@pytest.mark.parametrize(
    ("tokens", "options", "field", "told"),
    [
        ((0, 5), {}, "question", "no character that the model reads"),
        ((5, 0), {}, "context", "no character that the model reads"),
        ((65, 5), {}, "question", "has 65 tokens; the limit is 64"),
        ((10, 5), {"max_sequence_tokens": 13}, "options.max_sequence_tokens", "at least 14"),
        (
            (10, 5),
            {"doc_stride_tokens": 371},
            "options.doc_stride_tokens",
            "is 371; must be smaller than the window's room for context, 371 tokens",
        ),
        # More windows than could be counted in an array, let alone cut.
        (
            (10, 10**18),
            {"max_sequence_tokens": 512, "doc_stride_tokens": 498},
            "context",
            f"into {10**18 - 498} windows; the limit is 100",
        ),
    ],
)
def test_windows_that_do_not_work_out(
    tokens: tuple[int, int], options: dict[str, int], field: str, told: str
) -> None:
    [(named, description)] = violations(lambda: resolve(*tokens, **options))
    assert named == field
    assert told in description


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


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12).filter(any), st.integers(1, 10))
@settings(deadline=None)
def test_windows_of_all_texts_are_counted_together_as_they_are_cut(
    text_tokens: list[int], room: int
) -> None:
    # With room for one token the overlap is 0, as the default is then.
    options = {"max_sequence_tokens": room + 5 + SPECIAL_TOKENS, "doc_stride_tokens": room - 1}
    cut = [window for n in text_tokens if n for window in cut_windows(range(n), room, room - 1)]
    windows, tokens = len(cut), sum(len(window) + 5 + SPECIAL_TOKENS for window in cut)
    if windows <= LIMITS.max_windows:
        size = resolve(5, *text_tokens, **options)
        assert size == WindowSize(room, room - 1, windows, tokens)
    else:
        [(field, told)] = violations(lambda: resolve(5, *text_tokens, field="documents", **options))
        assert field == "documents"
        assert f"into {windows} windows; the limit is 100" in told


def test_windows_for_which_there_is_no_memory_are_refused() -> None:
    limits = replace(LIMITS, max_window_tokens=999)

    def cut(tokens: int) -> WindowSize:
        options = Options(max_sequence_tokens=384, doc_stride_tokens=300)
        return resolve_windows(options, limits, MODEL, question_tokens=5, text_tokens=[tokens])

    largest = next(n for n in range(1, 2000) if cut(n).tokens + 1 + 308 > 999)
    assert cut(largest).tokens <= 999
    [(field, told)] = violations(lambda: cut(largest + 100))
    assert field == "context"
    assert "tokens together, and the server has memory for 999: send less text" in told


@pytest.mark.parametrize("size", [1024, 1025])
def test_ids_of_documents_have_a_size(size: int) -> None:
    ids = ("1", "é" * (size // 2) + "x" * (size % 2), "3")
    request = Question("Who?", ("Anna.",) * 3, Options(), "documents", ids)
    if size <= 1024:
        check_request(request, LIMITS, MODEL)
        return
    [(field, told)] = violations(lambda: check_request(request, LIMITS, MODEL))
    assert (field, told) == (
        "documents[1].id",
        "has 1025 bytes of UTF-8; the limit is 1024: send a part of it",
    )


def test_raw_results_have_a_size() -> None:
    check_logits_tokens(600, LIMITS)
    [(field, told)] = violations(lambda: check_logits_tokens(601, LIMITS))
    assert field == "context"
    assert told.startswith("its windows have 601 tokens together; the limit is 600: ")
