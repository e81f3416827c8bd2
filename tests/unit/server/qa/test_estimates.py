"""Estimates are near what the tokenizer and the windows give."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa_server.qa.estimates import estimate_tokens, estimate_window_tokens
from spanqa_server.qa.requests import ModelDefaults, Options, Question, resolve_windows
from unit.server.qa.played import make_limits

MODEL = ModelDefaults(384, 128, has_no_answer=False)
ROOMY = make_limits(max_windows=1 << 40, max_sequence_tokens=512, max_window_tokens=1 << 60)


@given(
    st.lists(
        st.sampled_from(
            ["the old lighthouse keeper, who lived there. ", "北海道の灯台守", "où était "]
        ),
        min_size=1,
        max_size=30,
    )
)
def test_estimates_are_of_the_right_size(texts: list[str]) -> None:
    text = "".join(texts)
    assert len(text) / 5 <= estimate_tokens(text) <= 1.2 * len(text) + 1
    assert estimate_tokens(text, text) == pytest.approx(2 * estimate_tokens(text), abs=2)


def test_an_estimate_of_chinese_and_english() -> None:
    assert estimate_tokens("灯" * 800) == pytest.approx(800, rel=0.01)
    assert estimate_tokens("word " * 160) == pytest.approx(200, rel=0.01)
    assert estimate_tokens("") == 1


@given(
    st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    st.integers(1, 30),
    st.integers(40, 512),
    st.integers(0, 400),
)
def test_windows_are_as_many_as_they_are_cut_into(
    texts: list[int], question: int, sequence: int, stride: int
) -> None:
    room = sequence - question - 3
    options = Options(max_sequence_tokens=sequence, doc_stride_tokens=min(stride, room - 1))
    request = Question(text(question), tuple(map(text, texts)), options, field="documents")
    size = resolve_windows(
        options,
        ROOMY,
        MODEL,
        question_tokens=1 + question // 4,
        text_tokens=texts,
        field="documents",
    )
    assert estimate_window_tokens(request, ROOMY, MODEL) == size.tokens


def test_windows_that_are_refused_in_any_case_are_not_counted() -> None:
    options = Options(max_sequence_tokens=384, doc_stride_tokens=376)
    request = Question(text(3), (text(100_000),), options)
    assert estimate_window_tokens(request, make_limits(max_windows=20), MODEL) <= 20 * 384


def text(tokens: int) -> str:
    """Estimated as so many tokens."""
    return "four" * (tokens - 1)
