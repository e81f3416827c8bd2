"""The least of some seconds of late: the quickest answer of Triton, the shortest deadline."""

from collections.abc import Callable
from math import inf

# What was noted in this period and in the one before it counts.
PERIOD_SECONDS = 5.0


class RecentLeast:
    """The least of what was noted in the last five to ten seconds; 0 if nothing was."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begin = clock()
        self._least, self._least_before = inf, inf

    def note(self, seconds: float) -> None:
        """One more of them."""
        self._turn_over()
        self._least = min(self._least, seconds)

    @property
    def seconds(self) -> float:
        """The least."""
        self._turn_over()
        least = min(self._least, self._least_before)
        return 0.0 if least == inf else least

    def _turn_over(self) -> None:
        now = self._clock()
        if now - self._begin >= PERIOD_SECONDS:
            recent = now - self._begin < 2 * PERIOD_SECONDS
            self._least_before = self._least if recent else inf
            self._least, self._begin = inf, now
