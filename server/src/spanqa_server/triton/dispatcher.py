"""A budget of tokens at Triton: what is beyond it waits here, short requests first.

Triton batches by the number of requests. What is in its queue can no longer be put in
another order or dropped cheaply, so only as much goes there as keeps it busy.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# Among so few waiters it is not worth looking for those that gave up.
FEW_WAITERS = 64


class TokenBudget:
    """Admits work while fewer than `capacity` tokens are in flight.

    Of the work that waits, that of the request with the fewest tokens goes first, in order
    of arrival among equals. Work larger than the capacity goes when nothing is in flight.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.in_flight = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._tidy_at = FEW_WAITERS

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for room now."""
        return sum(not turn.cancelled() for *_, turn in self._waiting)

    @asynccontextmanager
    async def reserve(self, tokens: int, request_tokens: int) -> AsyncIterator[None]:
        """Hold `tokens` of the budget, on behalf of a request of `request_tokens` in all."""
        await self._acquire(tokens, request_tokens)
        try:
            yield
        finally:
            self.in_flight -= tokens
            self._admit()

    async def _acquire(self, tokens: int, request_tokens: int) -> None:
        if not self._waiting and self._has_room(tokens):
            self.in_flight += tokens
            return
        if len(self._waiting) >= self._tidy_at:
            self._tidy()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (request_tokens, next(self._order), tokens, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.in_flight -= tokens
            self._admit()
            raise

    def _has_room(self, tokens: int) -> bool:
        return not self.in_flight or self.in_flight + tokens <= self.capacity

    def _tidy(self) -> None:
        """Forget waiters that gave up: behind work that keeps overtaking they would pile up."""
        self._waiting = [entry for entry in self._waiting if not entry[-1].cancelled()]
        heapq.heapify(self._waiting)
        self._tidy_at = max(FEW_WAITERS, 2 * len(self._waiting))

    def _admit(self) -> None:
        while self._waiting:
            _, _, tokens, turn = self._waiting[0]
            if turn.cancelled():
                heapq.heappop(self._waiting)
                continue
            if not self._has_room(tokens):
                return
            heapq.heappop(self._waiting)
            self.in_flight += tokens
            turn.set_result(None)
