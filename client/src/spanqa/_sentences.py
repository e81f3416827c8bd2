"""The sentence around an answer: a pure function of text."""

from __future__ import annotations

import re

REACH = 200
"""The most characters on each side of the answer."""

_SENTENCE_END = re.compile(
    r"[.!?][\"')\]\u201d\u2019\xbb]*\s+|[\u3002\uff01\uff1f][\u300d\u300f\u201d\u2019]*\s*|\n\s*\n"
)


def sentence_around(context: str, start: int, end: int) -> tuple[int, int]:
    """The bounds of the sentence around ``context[start:end]``, shortened if it is very long."""
    first = max(0, start - REACH)
    for match in _SENTENCE_END.finditer(context, first, start):
        first = match.end()
    last = min(len(context), end + REACH)
    closing = _SENTENCE_END.search(context, end, last)
    if closing is not None:
        last = closing.start() + len(closing.group().rstrip())
    return first, last


def ends_sentence(context: str, position: int) -> bool:
    """Whether a sentence ends right before the position."""
    before = context[max(0, position - REACH) : position]
    return any(match.end() == len(before) for match in _SENTENCE_END.finditer(before))
