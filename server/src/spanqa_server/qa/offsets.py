"""Offsets in the unit that the caller's language counts in."""

from collections.abc import Iterable
from enum import Enum


class OffsetUnit(Enum):
    """What one step of an offset is."""

    UTF8 = "utf-8"
    UTF16 = "utf-16-le"
    UTF32 = "utf-32-le"


UNIT_BYTES = {OffsetUnit.UTF8: 1, OffsetUnit.UTF16: 2, OffsetUnit.UTF32: 4}


def convert_offsets(text: str, positions: Iterable[int], unit: OffsetUnit) -> dict[int, int]:
    """Map code point positions in `text` to offsets in `unit`, in one pass over the text."""
    wanted = sorted(set(positions))
    if unit is OffsetUnit.UTF32 or text.isascii():
        return {position: position for position in wanted}
    converted: dict[int, int] = {}
    previous = offset = 0
    for position in wanted:
        offset += len(text[previous:position].encode(unit.value)) // UNIT_BYTES[unit]
        converted[position] = offset
        previous = position
    return converted
