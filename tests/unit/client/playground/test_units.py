"""Offsets for JavaScript, whose strings count UTF-16 code units."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spanqa.playground.units import Utf16Offsets

TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("a😀é\u0301א𐍈")))


@given(TEXTS, st.data())
def test_a_span_is_the_same_text_in_both_units(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    offsets = Utf16Offsets(text)
    units = text.encode("utf-16-le")
    cut = units[2 * offsets(start) : 2 * offsets(end)]
    assert cut.decode("utf-16-le") == text[start:end]
