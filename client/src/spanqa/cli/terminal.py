"""Text that is safe to print."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """Replaces white space by blanks, and control characters, which could control a terminal."""
    return "".join(
        " " if char.isspace() else "\ufffd" if unicodedata.category(char) == "Cc" else char
        for char in text
    )
