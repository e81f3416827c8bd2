"""What is printed: safely, wrapped at words, and a sign of life while a call takes long."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


def printable(text: str) -> str:
    """Replaces white space by blanks, and control characters, which could control a terminal."""
    return "".join(
        " " if char.isspace() else "\ufffd" if unicodedata.category(char) == "Cc" else char
        for char in text
    )


def print_lines(lines: Iterable[Text]) -> None:
    """Wraps lines at words on a terminal; elsewhere a line stays one line."""
    console = Console(highlight=False)
    for line in lines:
        console.print(line, soft_wrap=not console.is_terminal)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Shows a spinner on standard error if that is a terminal; leaves nothing behind."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(Text(printable(text))):
        yield
