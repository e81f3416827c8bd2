"""How fast work leaves a queue, seen while some of it waits."""

from collections.abc import Callable
from math import exp

# A queue that has stood for less time proves nothing: a burst passes. It is the interval of CoDel
# (Nichols and Jacobson, Controlling Queue Delay, 2012), longer since batches take longer.
STANDING_SECONDS = 1.0
# What left so many seconds of waiting ago counts 1/e.
MEMORY_SECONDS = 5.0


class Pace:
    """Tokens a second that leave a queue; unknown until it has stood for a while, and moved.

    Only time in which work waits counts: the pace of a queue that is empty now and then says
    nothing about Triton. A queue that was empty for as long as it has to stand is forgotten.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting = False
        self._since = 0.0
        self._stood = 0.0
        self._tokens = self._seconds = 0.0

    def begin(self) -> None:
        """Something waits from now on."""
        now = self._clock()
        if now - self._since >= STANDING_SECONDS:
            self._stood = self._tokens = self._seconds = 0.0
        self._since, self._waiting = now, True

    def went(self, tokens: int) -> None:
        """So many tokens have left, in their turn."""
        elapsed = self._elapsed()
        kept = exp(-elapsed / MEMORY_SECONDS)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + elapsed
        self._stood += elapsed
        self._since = self._clock()

    def end(self) -> None:
        """Nothing waits any more."""
        self.went(0)
        self._waiting = False

    @property
    def tokens_per_second(self) -> float | None:
        """None while it is not known."""
        elapsed = self._elapsed()
        if not self._tokens or self._stood + elapsed < STANDING_SECONDS:
            return None
        return self._tokens / (self._seconds + elapsed)

    def _elapsed(self) -> float:
        return self._clock() - self._since if self._waiting else 0.0
