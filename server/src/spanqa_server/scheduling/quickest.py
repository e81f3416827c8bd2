"""The quickest answer that Triton gave of late."""

from collections.abc import Callable
from math import inf

# Answers of this period and of the one before it count.
PERIOD_SECONDS = 5.0


class Quickest:
    """The least seconds that an answer took in the last five to ten seconds; 0 without one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begin = clock()
        self._least, self._least_before = inf, inf

    def note(self, seconds: float) -> None:
        """An answer took so long."""
        self._turn_over()
        self._least = min(self._least, seconds)

    @property
    def seconds(self) -> float:
        """How long an answer takes at least."""
        self._turn_over()
        least = min(self._least, self._least_before)
        return 0.0 if least == inf else least

    def _turn_over(self) -> None:
        now = self._clock()
        if now - self._begin >= PERIOD_SECONDS:
            recent = now - self._begin < 2 * PERIOD_SECONDS
            self._least_before = self._least if recent else inf
            self._least, self._begin = inf, now
