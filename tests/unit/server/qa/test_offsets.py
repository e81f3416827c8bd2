"""Offsets in every unit, for any text that UTF-8 can hold."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanqa_server.qa.offsets import OffsetUnit, convert_offsets

ENCODINGS = {
    OffsetUnit.UTF8: ("utf-8", 1),
    OffsetUnit.UTF16: ("utf-16-be", 2),
    OffsetUnit.UTF32: ("utf-32-be", 4),
}
ASTRAL = st.characters(min_codepoint=0x10000)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | ASTRAL, max_size=80)


@given(TEXTS, st.data(), st.sampled_from(OffsetUnit))
@example("", None, OffsetUnit.UTF16)
@settings(deadline=None, max_examples=300)
def test_encoded_slices_equal_code_point_slices(
    text: str, data: st.DataObject | None, unit: OffsetUnit
) -> None:
    places = st.lists(st.integers(0, len(text)), max_size=12)
    positions = data.draw(places) if data else [0]
    offsets = convert(text, positions, unit)
    assert len(offsets) == len(positions)
    encoding, width = ENCODINGS[unit]
    encoded = text.encode(encoding)
    pairs = list(zip(positions, offsets, strict=True))
    for start, first in pairs:
        for end, last in pairs:
            piece = encoded[first * width : last * width]
            assert piece.decode(encoding) == text[start:end]


def convert(text: str, positions: list[int], unit: OffsetUnit) -> list[int]:
    offsets: list[int] = convert_offsets(text, np.array(positions, dtype=np.int64), unit).tolist()
    return offsets


@pytest.mark.parametrize(
    ("text", "utf8", "utf16"),
    [
        *[("\x7f", 1, 1), ("\x80", 2, 1), ("\u07ff", 2, 1), ("\u0800", 3, 1), ("\uffff", 3, 1)],
        *[("\U00010000", 4, 2), ("\U0010ffff", 4, 2)],
    ],
)
def test_the_first_and_last_character_of_every_width(text: str, utf8: int, utf16: int) -> None:
    assert convert(text, [1], OffsetUnit.UTF8) == [utf8]
    assert convert(text, [1], OffsetUnit.UTF16) == [utf16]
