"""Offsets in the unit that the caller's language counts in."""

from enum import Enum

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


class OffsetUnit(Enum):
    """What offsets count."""

    UTF8 = "utf-8"
    UTF16 = "utf-16"
    UTF32 = "utf-32"


# A code point from each of these on takes one unit more.
STEPS = {OffsetUnit.UTF8: (0x80, 0x800, 0x10000), OffsetUnit.UTF16: (0x10000,)}


def convert_offsets(text: str, positions: Integers, unit: OffsetUnit) -> Integers:
    """Code point positions in `text`, int64 of any shape, as offsets in `unit`."""
    if unit is OffsetUnit.UTF32 or text.isascii():
        return positions
    code_points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    offsets = np.zeros(len(text) + 1, dtype=np.int64)
    sizes = np.ones(len(text), dtype=np.int64)
    for step in STEPS[unit]:
        sizes += code_points >= step
    np.cumsum(sizes, out=offsets[1:])
    converted: Integers = offsets[positions]
    return converted


def utf8_size(text: str) -> int:
    """Bytes of a text in UTF-8; for ASCII this costs nothing."""
    return len(text) if text.isascii() else len(text.encode())
