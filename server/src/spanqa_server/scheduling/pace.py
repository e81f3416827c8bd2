"""How fast work is done, seen while some of it waits."""

from collections.abc import Callable
from math import exp

# A queue that has moved for less time proves nothing: a burst passes. It is the interval of CoDel
# (Nichols and Jacobson, Controlling Queue Delay, 2012), longer since batches take longer.
STANDING_SECONDS = 1.0
MEMORY_SECONDS = 5.0
# What leaves within this time belongs to one batch of Triton.
GROUP_SECONDS = 0.05


class Pace:
    """Tokens a second that are done; unknown until a queue has stood, and moved, for a while.

    Only time in which work waits counts: the pace of a queue that is empty now and then says
    nothing about Triton. A queue that was empty for as long as it has to stand is forgotten.
    Work is done in groups, one a batch of Triton. A group counts when it is complete; the first one
    only shows when to begin to count.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        memory: float = MEMORY_SECONDS,
        standing: float = STANDING_SECONDS,
    ) -> None:
        """Nothing is known.

        Args:
            clock: in seconds.
            memory: what left so many seconds of waiting ago counts 1/e.
            standing: seconds of waiting that have to be seen.
        """
        self._clock = clock
        self._memory = memory
        self._standing = standing
        self._waiting = 0
        """How many wait, of those who share this pace."""
        self._since = 0.0
        self._forget()

    def _forget(self) -> None:
        self._waited = 0.0
        """Seconds until now; the other times are on this scale."""
        self._group_at: float | None = None
        self._group = 0
        self._counted_at: float | None = None
        self._stood = self._gap = 0.0
        self._tokens = self._seconds = 0.0

    def begin(self) -> None:
        """Something waits from now on."""
        now = self._clock()
        if self._waiting:
            self._advance()
        elif now - self._since >= STANDING_SECONDS:
            self._forget()
        self._since = now
        self._waiting += 1

    def went(self, tokens: int) -> None:
        """So many tokens are done, or have had their turn."""
        self._advance()
        if not self._waiting:
            return
        if self._group_at is None:
            self._group_at = self._waited
        self._group += tokens

    def end(self) -> None:
        """It waits no more."""
        self._advance()
        self._waiting -= 1

    @property
    def tokens_per_second(self) -> float | None:
        """None while it is not known."""
        self._advance()
        if self._counted_at is None or self._stood < self._standing:
            return None
        # Until the next group is due, there is nothing to be seen.
        overdue = max(0.0, self._waited - self._counted_at - self._gap)
        return self._tokens / (self._seconds + overdue)

    def _advance(self) -> None:
        now = self._clock()
        if self._waiting:
            self._waited += now - self._since
        self._since = now
        if self._group_at is not None and self._waited - self._group_at >= GROUP_SECONDS:
            self._count(self._group, self._group_at)
            self._group, self._group_at = 0, None

    def _count(self, tokens: int, at: float) -> None:
        if self._counted_at is not None:
            elapsed = at - self._counted_at
            kept = exp(-elapsed / self._memory)
            self._tokens = self._tokens * kept + tokens
            self._seconds = self._seconds * kept + elapsed
            self._gap = max(self._gap * kept, elapsed)
            self._stood += elapsed
        self._counted_at = at
