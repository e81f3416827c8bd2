"""How fast Triton works, seen from here."""

import math
from collections.abc import Callable
from time import monotonic

# Work that ended so many seconds of work ago counts 1/e.
MEMORY_SECONDS = 10.0


class Throughput:
    """Tokens a second while Triton has work, the last seconds counting most."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._since = 0.0
        self._tokens = 0.0
        self._seconds = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Infinite until some work has ended."""
        return self._tokens / self._seconds if self._seconds else math.inf

    def begin(self) -> None:
        """Triton had no work, and has some now."""
        self._since = self._clock()

    def end(self, tokens: int) -> None:
        """So many tokens are done; Triton has worked since the last call of this object."""
        now = self._clock()
        elapsed = now - self._since
        kept = math.exp(-elapsed / MEMORY_SECONDS)
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + elapsed
        self._since = now
