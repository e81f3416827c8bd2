"""When a call has to end."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from spanqa_server.errors import DeadlineError


@dataclass(frozen=True, slots=True)
class Deadline:
    """When work has to end, by the event loop's clock, and how long that was from its start."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """So many seconds from now."""
        return cls(asyncio.get_running_loop().time() + seconds, seconds)

    @classmethod
    def never(cls) -> "Deadline":
        """Of work for which nobody waits."""
        return cls(math.inf, math.inf)

    @property
    def remaining(self) -> float:
        """Seconds from now."""
        return self.at - asyncio.get_running_loop().time()

    @asynccontextmanager
    async def bounds(self) -> AsyncIterator[None]:
        """End the block at the deadline; raises DeadlineError then."""
        try:
            async with asyncio.timeout_at(self.at):
                yield
        except TimeoutError:
            raise self.error() from None

    def error(self) -> DeadlineError:
        """What its caller is told."""
        return DeadlineError(f"no answer within {self.seconds:.3g} s")
