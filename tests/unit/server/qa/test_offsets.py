"""Offsets in every unit, for any text that UTF-8 can hold."""

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
    offsets = convert_offsets(text, positions, unit)
    assert set(offsets) == set(positions)
    encoding, width = ENCODINGS[unit]
    encoded = text.encode(encoding)
    for start in positions:
        for end in positions:
            piece = encoded[offsets[start] * width : offsets[end] * width]
            assert piece.decode(encoding) == text[start:end]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        (OffsetUnit.UTF8, {0: 0, 1: 1, 2: 3, 3: 6, 4: 10}),
        (OffsetUnit.UTF16, {0: 0, 1: 1, 2: 2, 3: 3, 4: 5}),
        (OffsetUnit.UTF32, {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}),
    ],
)
def test_widths_of_one_to_four_bytes(unit: OffsetUnit, expected: dict[int, int]) -> None:
    assert convert_offsets("aé東😀", range(5), unit) == expected


def test_order_and_repetition_of_positions_do_not_matter() -> None:
    offsets = convert_offsets("é😀é😀", [4, 0, 2, 4, 2], OffsetUnit.UTF16)
    assert offsets == {0: 0, 2: 3, 4: 6}
