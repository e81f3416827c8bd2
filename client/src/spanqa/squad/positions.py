"""Finds the answer to train on in the context, and says what is wrong where it is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from spanqa.squad.entries import Entry, Gold

NEARBY = 32
"""How far from its stated position an answer is looked for, in code points."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Placed:
    """An answer at its place in the context."""

    text: str
    start: int
    repaired: bool


@dataclass(frozen=True, slots=True)
class Bad:
    """Why a question cannot be trained on, with the place."""

    reason: str


def place_answer(entry: Entry) -> Placed | Bad | None:
    """The first answer that lies in the context, moved to where it does if that is unambiguous.

    It is unambiguous if the text occurs once in the context, or once within ``NEARBY`` code points
    of the stated position.

    Returns:
        None if the context has no answer.
    """
    if not entry.labelled:
        return Bad(f"{entry.place}{entry.unlabelled_because}")
    if not entry.candidates:
        return None
    reasons = []
    for number, gold in enumerate(entry.candidates):
        found = _place(gold, entry.context)
        if isinstance(found, Placed):
            return found if number == 0 else Placed(found.text, found.start, repaired=True)
        reasons.append(found.reason)
    return Bad(reasons[0])


def _place(gold: Gold, context: str) -> Placed | Bad:
    text, start = gold.text.strip(), _integer(gold.start)
    if not text:
        return Bad(f"{gold.place}.text is blank")
    if start is not None and start >= 0 and context.startswith(gold.text, start):
        return Placed(gold.text, start, repaired=False)
    found = _only_occurrence(text, context, start)
    if found is not None:
        return Placed(text, found, repaired=True)
    return Bad(f"{gold.place}: {_complaint(gold, start, context)}{_where(text, context)}")


def _integer(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if isinstance(value, int) else None


def _only_occurrence(text: str, context: str, start: int | None) -> int | None:
    found = list(islice(_occurrences(text, context), 2))
    if len(found) > 1 and start is not None:
        near = range(max(0, start - NEARBY), max(0, start) + NEARBY + 1)
        begin = max(0, near.start)
        piece = context[begin : near.stop + len(text) - 1]
        found = [begin + at for at in islice(_occurrences(text, piece), 2)]
    return found[0] if len(found) == 1 else None


def _occurrences(text: str, context: str) -> Iterator[int]:
    at = context.find(text)
    while at >= 0:
        yield at
        at = context.find(text, at + 1)


def _complaint(gold: Gold, start: int | None, context: str) -> str:
    if gold.start is None:
        return f"answer_start is missing, and {gold.text!r}"
    if start is None:
        return f"answer_start is not an integer, and {gold.text!r}"
    found = context[start : start + len(gold.text)] if start >= 0 else ""
    return f"the context has {found!r} at {start} (answer_start), not {gold.text!r}; this"


def _where(text: str, context: str) -> str:
    found = list(islice(_occurrences(text, context), _SHOWN + 1))
    if not found:
        return " does not occur in it"
    places = ", ".join(map(str, found[:_SHOWN]))
    return f" occurs at {places}{' and elsewhere' if len(found) > _SHOWN else ''}"
