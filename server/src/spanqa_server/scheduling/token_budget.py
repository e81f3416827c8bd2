"""A budget of tokens at Triton: what is beyond it waits here.

Triton batches by the number of requests. What is in its queue can no longer be put in another order
or dropped cheaply, so only as much goes there as keeps it busy.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from spanqa_server.scheduling.call import Call, current_call
from spanqa_server.scheduling.in_flight import TARGET_SECONDS, InFlightLimit
from spanqa_server.scheduling.newcomers import Newcomers
from spanqa_server.scheduling.pace import Pace
from spanqa_server.scheduling.recent_least import RecentLeast
from spanqa_server.scheduling.refusals import Refusals
from spanqa_server.scheduling.waiting_line import Waiter, WaitingLine
from spanqa_server.telemetry import metrics

# Beside other work, chunks may have this share of what is in flight.
CHUNK_SHARE = 0.5


class Queue:
    """Work of one kind: whole requests, or chunks of long ones."""

    def __init__(self, clock: Callable[[], float], pace: Pace) -> None:
        self.line = WaitingLine(clock, pace)
        self.refusals = Refusals(self.line, clock)
        self.quickest_answer = RecentLeast(clock)
        self.in_flight = 0
        # When it is due again, in tokens that each of the two has sent while both waited.
        self.due = 0


class TokenBudget:
    """Lets work go to Triton while fewer than its limit of tokens are in flight.

    Whole requests and chunks of long ones wait in queues of their own and take turns by tokens.
    Chunks take at most `chunk_capacity` tokens together, or their share where much else is in
    flight: what comes after them must not find Triton full of them. Work larger than its capacity
    goes when nothing of its kind is in flight.

    Beside callers with much work, one with a single piece goes past the limit, and from then on
    finds little of theirs at Triton (`newcomers.py`).
    """

    def __init__(
        self,
        capacity: int,
        chunk_capacity: int | None = None,
        clock: Callable[[], float] = monotonic,
        *,
        prefers_newcomers: bool = True,
    ) -> None:
        """Nothing is in flight.

        Args:
            capacity: the most tokens that may be in flight, however fast Triton is.
            chunk_capacity: of chunks; None: as for all.
            clock: in seconds; the event loop's.
            prefers_newcomers: not where there are several Tritons: one that hangs would keep from
                the others all that those with much may have.
        """
        self.limit = InFlightLimit(capacity)
        metrics.IN_FLIGHT_LIMIT.set(self.limit.tokens)
        self.chunk_capacity = capacity if chunk_capacity is None else chunk_capacity
        self._clock = clock
        self._pace = Pace(clock)
        self._shortest_deadline = RecentLeast(clock)
        self._newcomers = Newcomers(clock, self._tokens_per_second, preferred=prefers_newcomers)
        self._past_limit = 0
        """Tokens at Triton of those who went past the limit."""
        self._whole, self._chunks = Queue(clock, self._pace), Queue(clock, self._pace)

    @property
    def in_flight(self) -> int:
        """Tokens at Triton."""
        return self._whole.in_flight + self._chunks.in_flight

    @property
    def waiting(self) -> int:
        """Pieces of work that wait now."""
        return sum(1 for queue in (self._whole, self._chunks) for _ in queue.line)

    @property
    def delay(self) -> float:
        """Seconds in which all that waits has left, as far as that is known."""
        tokens = self._whole.line.tokens + self._chunks.line.tokens
        return tokens / max(self._pace.tokens_per_second or math.inf, 1.0)

    def check(self, tokens: int, call: Call, *, long: bool) -> None:
        """Refuse work of a call that would wait too long; raises OverloadedError."""
        queue, other = (self._chunks, self._whole) if long else (self._whole, self._chunks)
        queue.refusals.check(tokens, call, other.line.tokens, self.in_flight)

    def _tokens_per_second(self) -> float:
        return self._pace.tokens_per_second or self.limit.tokens / TARGET_SECONDS

    @asynccontextmanager
    async def reserve(self, tokens: int, *, chunk: bool = False) -> AsyncIterator[int]:
        """Hold tokens of the budget for the current call, when its turn has come.

        Yields how many of them may go to Triton at a time.

        Raises:
            DeadlineError: its turn came so late that no answer would come in time.
        """
        queue = self._chunks if chunk else self._whole
        caller = current_call().caller
        self._newcomers.begin(caller, tokens)
        try:
            async with self._at_triton(queue, caller, tokens):
                yields = self._newcomers.yields(caller)
                yield round(self._newcomers.share) if yields else tokens
        finally:
            self._newcomers.end(caller, tokens)

    @asynccontextmanager
    async def _at_triton(self, queue: Queue, caller: str, tokens: int) -> AsyncIterator[None]:
        past_limit = 0
        if self._may_go_at_once(queue, caller, tokens):
            self._take(queue, caller, tokens)
        elif self._may_go_past(queue, caller, tokens):
            past_limit = tokens
            self._past_limit += past_limit
            self._take(queue, caller, tokens)
        else:
            await self._wait(queue, tokens)
        begin = self._clock()
        try:
            yield
            self._note_answer(queue, tokens, self._clock() - begin)
        finally:
            self._past_limit -= past_limit
            self._pace.went(tokens)
            self._release(queue, caller, tokens)

    def _may_go_at_once(self, queue: Queue, caller: str, tokens: int) -> bool:
        if self._whole.line or self._chunks.line:
            return False
        if self._newcomers.is_held_back(caller, tokens):
            return False
        chunk_room = queue is self._whole or self._has_chunk_room(tokens)
        return chunk_room and self._has_room(tokens)

    def _may_go_past(self, queue: Queue, caller: str, tokens: int) -> bool:
        if queue is self._chunks or not self._newcomers.is_one(caller):
            return False
        return not self._past_limit or self._past_limit + tokens <= self._newcomers.share

    async def _wait(self, queue: Queue, tokens: int) -> None:
        if not queue.line:
            other = self._whole if queue is self._chunks else self._chunks
            queue.due = max(queue.due, other.due)
        call = current_call()
        waiter = queue.line.join(tokens, call)
        self._let_go()
        if not waiter.turn.done():
            self._shortest_deadline.note(call.deadline.seconds)
        metrics.REQUESTS_WAITING.inc()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.cancelled():
                queue.line.leave(waiter)
                self._let_go()
            elif not waiter.turn.exception():  # its turn had come already
                self._release(queue, call.caller, tokens)
            raise
        finally:
            metrics.REQUESTS_WAITING.dec()

    def _note_answer(self, queue: Queue, tokens: int, seconds: float) -> None:
        metrics.TRITON_TOKENS.inc(tokens)
        queue.quickest_answer.note(seconds)
        if (self._whole.line or self._chunks.line) and not self._newcomers.expected:
            self.limit.answered(tokens, seconds, self._shortest_deadline.seconds)
            metrics.IN_FLIGHT_LIMIT.set(self.limit.tokens)

    def _take(self, queue: Queue, caller: str, tokens: int) -> None:
        self._newcomers.go(caller, tokens)
        queue.in_flight += tokens
        metrics.TOKENS_IN_FLIGHT.inc(tokens)

    def _release(self, queue: Queue, caller: str, tokens: int) -> None:
        self._newcomers.come_back(caller, tokens)
        queue.in_flight -= tokens
        metrics.TOKENS_IN_FLIGHT.dec(tokens)
        self._let_go()

    def _has_room(self, tokens: int) -> bool:
        there = self.in_flight - self._past_limit
        return not there or there + tokens <= self.limit.tokens

    def _has_chunk_room(self, tokens: int) -> bool:
        chunks = self._chunks.in_flight
        share = CHUNK_SHARE * (self.in_flight + tokens)
        return not chunks or chunks + tokens <= max(self.chunk_capacity, share)

    def _let_go(self) -> None:
        while chosen := self._choose():
            queue, waiter = chosen
            queue.line.go(waiter)
            queue.due += waiter.tokens
            if waiter.call.deadline.at - self._clock() < queue.quickest_answer.seconds:
                waiter.turn.set_exception(waiter.call.deadline.error())
                continue
            self._take(queue, waiter.call.caller, waiter.tokens)
            waiter.turn.set_result(None)

    def _choose(self) -> tuple[Queue, Waiter] | None:
        """Whose turn it is, if there is room for it."""
        for queue in sorted((self._whole, self._chunks), key=lambda queue: queue.due):
            first = queue.line.first(
                lambda one: self._newcomers.is_held_back(one.call.caller, one.tokens)
            )
            if first and (queue is self._whole or self._has_chunk_room(first.tokens)):
                return (queue, first) if self._has_room(first.tokens) else None
        return None
