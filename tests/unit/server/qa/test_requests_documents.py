"""Checks of a question about documents, and of the size of raw results."""

from collections.abc import Callable

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
    check_logits_tokens,
    check_request,
    resolve_windows,
)
from unit.server.reference import cut_windows

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


def violations(call: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRequestError) as raised:
        call()
    return [(violation.field, violation.description) for violation in raised.value.violations]


def check(*texts: str) -> None:
    check_request(Question("Who?", texts, Options(), field="documents"), LIMITS, MODEL)


def resolve(*text_tokens: int, room: int = 10, doc_stride: int = 4) -> WindowSize:
    options = Options(max_sequence_tokens=room + 5 + 3, doc_stride_tokens=doc_stride)
    return resolve_windows(
        options,
        LIMITS,
        MODEL,
        question_tokens=5,
        text_tokens=list(text_tokens),
        field="documents",
    )


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ((), "is empty; give at least one"),
        (("",), "is empty; give some text"),
        (("", "", ""), "is empty; give some text"),
        (("", " \u3000\n"), "is blank; give some text"),
        (("a", "b", "c", "d"), "has 4 entries; the limit is 3: send fewer, the most promising"),
        (("x" * 500, "x" * 501), "has 1001 bytes of UTF-8; the limit is 1000"),
        (("é" * 251, "", "é" * 250), "has 1002 bytes of UTF-8; the limit is 1000"),
    ],
)
def test_texts(texts: tuple[str, ...], told: str) -> None:
    [(field, description)] = violations(lambda: check(*texts))
    assert field == "documents"
    assert told in description


def test_too_many_and_too_large_are_told_together() -> None:
    found = violations(lambda: check(*["x" * 300] * 4))
    assert [field for field, _ in found] == ["documents"] * 2
    assert "4 entries" in found[0][1]
    assert "1200 bytes" in found[1][1]


def test_no_texts_and_no_question_are_told_together() -> None:
    nothing = Question("", (), Options(), field="documents")
    found = violations(lambda: check_request(nothing, LIMITS, MODEL))
    assert sorted(found) == [
        ("documents", "is empty; give at least one"),
        ("question", "is empty; give some text"),
    ]


def test_what_is_allowed() -> None:
    check("Anna.", "", " ")
    check("x" * 500, "x" * 499, "x")


def test_a_context_is_called_a_context() -> None:
    [(field, _)] = violations(
        lambda: check_request(Question("Who?", ("",), Options()), LIMITS, MODEL)
    )
    assert field == "context"


def test_windows_of_all_texts_count_together() -> None:
    assert resolve(*[10] * 100) == WindowSize(10, 4, 100)
    assert resolve(10 + 6 * 49, 10 + 6 * 49) == WindowSize(10, 4, 100)
    [(field, description)] = violations(lambda: resolve(10 + 6 * 49, 10 + 6 * 49 + 1))
    assert field == "documents"
    assert "into 101 windows; the limit is 100" in description


def test_texts_without_tokens_take_no_window() -> None:
    assert resolve(*[0] * 500, *[10] * 100) == WindowSize(10, 4, 100)
    assert "101 windows" in violations(lambda: resolve(0, *[10] * 101))[0][1]


@pytest.mark.parametrize("text_tokens", [(0,), (0, 0, 0)])
def test_no_text_has_a_token(text_tokens: tuple[int, ...]) -> None:
    [(field, description)] = violations(lambda: resolve(*text_tokens))
    assert (field, "no character that the model reads" in description) == ("documents", True)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=12).filter(any), st.integers(1, 10))
@settings(deadline=None)
def test_windows_are_counted_as_they_are_cut(text_tokens: list[int], room: int) -> None:
    windows = sum(len(cut_windows(range(n), room, room - 1)) for n in text_tokens if n)
    if windows <= LIMITS.max_windows:
        assert resolve(*text_tokens, room=room, doc_stride=room - 1).room == room
    else:
        [(_, told)] = violations(lambda: resolve(*text_tokens, room=room, doc_stride=room - 1))
        assert f"into {windows} windows" in told


def test_raw_results_have_a_size() -> None:
    check_logits_tokens(600, LIMITS)
    [(field, told)] = violations(lambda: check_logits_tokens(601, LIMITS))
    assert field == "context"
    assert told.startswith("its windows have 601 tokens together; the limit is 600: ")
