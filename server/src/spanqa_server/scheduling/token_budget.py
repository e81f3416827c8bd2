"""A budget of tokens at Triton: what is beyond it waits here, short requests first.

Triton batches by the number of requests. What is in its queue can no longer be put in
another order or dropped cheaply, so only as much goes there as keeps it busy.
"""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from spanqa_server.scheduling.throughput import Throughput
from spanqa_server.telemetry import metrics

# Among so few waiters it is not worth looking for those that gave up.
FEW_WAITERS = 64
# Of the tokens that go while it waits, the oldest work is owed this share; chunks may have it of
# what is in flight.
OLDEST_SHARE = 0.25


@dataclass(slots=True, order=True)
class Waiter:
    """Work that waits for room; the least goes first."""

    request_tokens: int
    order: int
    tokens: int = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)

    @property
    def is_chunk(self) -> bool:
        """Whether it is a part of a longer request."""
        return self.tokens < self.request_tokens


class TokenBudget:
    """Admits work while fewer than `capacity` tokens are in flight.

    Of the work that waits, that of the request with the fewest tokens goes first, in order
    of arrival among equals; but for every four tokens that overtake the oldest work, one of its
    own goes, so that nothing waits for ever. Chunks of long requests take at most
    `chunk_capacity` tokens together, or their share where much else is in flight: what comes
    after them must not find Triton full of them.
    Work larger than its capacity goes when nothing of its kind is in flight.
    """

    def __init__(self, capacity: int, chunk_capacity: int | None = None) -> None:
        self.capacity = capacity
        self.chunk_capacity = capacity if chunk_capacity is None else chunk_capacity
        self.in_flight = 0
        self._chunks_in_flight = 0
        self._order = itertools.count()
        self._shortest: list[Waiter] = []
        self._oldest: deque[Waiter] = deque()
        self._owed = 0.0
        self._tidy_at = FEW_WAITERS
        self._throughput = Throughput()

    @property
    def tokens_per_second(self) -> float:
        """How fast admitted work is done at present."""
        return self._throughput.tokens_per_second

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for room now."""
        return sum(not waiter.turn.done() for waiter in self._oldest)

    @asynccontextmanager
    async def reserve(self, tokens: int, request_tokens: int) -> AsyncIterator[None]:
        """Hold `tokens` of the budget, on behalf of a request of `request_tokens` in all."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = Waiter(request_tokens, next(self._order), tokens, turn)
        await self._acquire(waiter)
        try:
            yield
        finally:
            self._release(waiter)

    async def _acquire(self, waiter: Waiter) -> None:
        if not self._oldest and self._has_room(waiter):
            self._take(waiter)
            return
        if len(self._oldest) >= self._tidy_at:
            self._tidy()
        heapq.heappush(self._shortest, waiter)
        self._oldest.append(waiter)
        self._admit()
        metrics.REQUESTS_WAITING.inc()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.cancelled():
                self._admit()
            else:  # its turn had come already
                self._release(waiter)
            raise
        finally:
            metrics.REQUESTS_WAITING.dec()

    def _take(self, waiter: Waiter) -> None:
        if not self.in_flight:
            self._throughput.begin()
        self.in_flight += waiter.tokens
        metrics.TOKENS_IN_FLIGHT.inc(waiter.tokens)
        if waiter.is_chunk:
            self._chunks_in_flight += waiter.tokens

    def _release(self, waiter: Waiter) -> None:
        self.in_flight -= waiter.tokens
        self._throughput.end(waiter.tokens)
        metrics.TRITON_THROUGHPUT.set(self._throughput.tokens_per_second)
        metrics.TOKENS_IN_FLIGHT.dec(waiter.tokens)
        if waiter.is_chunk:
            self._chunks_in_flight -= waiter.tokens
        self._admit()

    def _has_room(self, waiter: Waiter) -> bool:
        return self._has_chunk_room(waiter) and (
            not self.in_flight or self.in_flight + waiter.tokens <= self.capacity
        )

    def _has_chunk_room(self, waiter: Waiter) -> bool:
        if not waiter.is_chunk or not self._chunks_in_flight:
            return True
        share = OLDEST_SHARE * (self.in_flight + waiter.tokens)
        room = max(self.chunk_capacity, share)
        return self._chunks_in_flight + waiter.tokens <= room

    def _admit(self) -> None:
        while True:
            while self._shortest and self._shortest[0].turn.done():
                heapq.heappop(self._shortest)
            while self._oldest and self._oldest[0].turn.done():
                self._oldest.popleft()
            if not self._oldest:
                self._owed = 0.0
                return
            first, oldest = self._shortest[0], self._oldest[0]
            if self._owed >= oldest.tokens and self._has_chunk_room(oldest):
                first = oldest
            if not self._has_room(first):
                return
            self._owed = 0.0 if first is oldest else self._owed + OLDEST_SHARE * first.tokens
            self._take(first)
            first.turn.set_result(None)

    def _tidy(self) -> None:
        """Forget waiters that are done: behind work that keeps overtaking they would pile up."""
        waiting = [waiter for waiter in self._oldest if not waiter.turn.done()]
        self._oldest, self._shortest = deque(waiting), waiting
        heapq.heapify(self._shortest)
        self._tidy_at = max(FEW_WAITERS, 2 * len(waiting))
