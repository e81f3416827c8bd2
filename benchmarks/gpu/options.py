"""What a section of the GPU benchmark is given; no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic

Row = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `run.py` that sections need."""

    device: str
    small: bool
    data: Path


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a section has to be done, on the monotonic clock, which all processes share."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(monotonic() + seconds)

    def left(self) -> float:
        """Seconds until then, 0 when it has passed."""
        return max(0.0, self.at - monotonic())

    def share(self, parts: int) -> float:
        """Seconds for the next of so many equal parts of what is left."""
        return self.left() / max(1, parts)


class MissingError(Exception):
    """Something that a section needs is not there; the text says what, and the remedy."""
