"""Offsets of Python strings as offsets of JavaScript strings."""

from __future__ import annotations

import re
from bisect import bisect_left

_TWO_UNITS = re.compile("[\U00010000-\U0010ffff]")


class Utf16Offsets:
    """Converts offsets into one text from code points to UTF-16 code units.

    The text is read once; an offset then costs a binary search among its characters outside the
    Basic Multilingual Plane, such as emoji, which take two units.
    """

    def __init__(self, text: str) -> None:
        self._wide = [match.start() for match in _TWO_UNITS.finditer(text)]

    def __call__(self, offset: int) -> int:
        """The offset in UTF-16 code units, for one from 0 to the text's length."""
        return offset + bisect_left(self._wide, offset)
