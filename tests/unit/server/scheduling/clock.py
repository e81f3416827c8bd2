"""A clock in the test's hand."""

from dataclasses import dataclass


@dataclass
class Clock:
    """Call it for the time, in seconds."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now
