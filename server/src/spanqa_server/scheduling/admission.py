"""Which calls are taken: their tokens are counted before any other work is done for them.

What there is no room for is refused at once, while its caller can still go elsewhere, and so is
what could not be answered before its deadline: under overload a server that takes everything
answers nothing in time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from prometheus_client import Gauge

from spanqa_server.errors import OverloadedError
from spanqa_server.telemetry import metrics

# Bounds of the seconds after which a refused caller may come again.
SHORTEST_WAIT, LONGEST_WAIT = 0.1, 10.0
# Of a caller's time, what may be planned for: nobody waits for an answer after its deadline.
SAFE_SHARE = 0.8


def estimate_tokens(*texts: str) -> int:
    """About how many tokens texts have, without tokenizing them.

    English has four characters a token, of one byte each; other scripts have two or three bytes
    a character, and Chinese, with three, is one token a character.
    """
    characters = sum(map(len, texts))
    extra = sum(len(text.encode()) - len(text) for text in texts if not text.isascii())
    return 1 + (2 * characters + 3 * extra) // 8


@dataclass(slots=True)
class Room:
    """Tokens of the calls of one kind that are under way."""

    kind: str
    capacity: float
    taken: int = 0
    _gauge: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self._gauge = metrics.ADMITTED_TOKENS.labels(self.kind)

    def fits(self, tokens: int) -> bool:
        """Whatever its size, a call fits where there is no other."""
        return not self.taken or self.taken + tokens <= self.capacity

    def take(self, tokens: int) -> None:
        """Count them; negative: they are done."""
        self.taken += tokens
        self._gauge.set(self.taken)


class Admission:
    """Room for calls, by kind, since short ones overtake long ones at Triton.

    A call of at most `long_from` tokens is short. The pairs of batches and streams wait for room
    of their own: a stream is held back by gRPC's own flow control, a batch is counted as a call.
    """

    def __init__(
        self,
        capacity: int,
        long_capacity: int,
        *,
        long_from: int,
        in_flight: int,
        max_wait: float,
        throughput: Callable[[], float],
    ) -> None:
        """Make it empty.

        Args:
            capacity: tokens of all short calls.
            long_capacity: of all long ones, and of all batches.
            long_from: of the longest short one.
            in_flight: what Triton may have at a time: never too much of short calls, and what
                the pairs of batches and streams may take.
            max_wait: seconds of work that a short call may find before it.
            throughput: tokens a second that Triton does now.
        """
        self._capacity = capacity
        self._short = Room("short", capacity)
        self._long = Room("long", long_capacity)
        self._batches = Room("batch", long_capacity)
        self._pairs = Room("pair", in_flight)
        self._long_from = long_from
        self._in_flight = in_flight
        self._max_wait = max_wait
        self._throughput = throughput
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def admit(self, tokens: int, seconds: float) -> AbstractContextManager[None]:
        """Hold room for a call that has to be answered within so many seconds.

        Raises:
            OverloadedError: there is no room, or what is before it takes longer.
        """
        room = self._short if tokens <= self._long_from else self._long
        return self._admit(room, tokens, seconds)

    def admit_batch(self, tokens: int, seconds: float) -> AbstractContextManager[None]:
        """The same for a batch, whose pairs wait for their own turns; raises as `admit` does."""
        return self._admit(self._batches, tokens, seconds)

    @contextmanager
    def _admit(self, room: Room, tokens: int, seconds: float) -> Iterator[None]:
        rate = self._throughput()
        ahead = self._short.taken + self._pairs.taken
        if room is self._short:
            room.capacity = min(self._capacity, max(self._in_flight, rate * self._max_wait))
        else:
            ahead += room.taken
        if not room.fits(tokens):
            too_many = room.taken + tokens - room.capacity
            raise refusal("full", room, too_many / rate)
        overdue = (ahead + tokens) / rate - SAFE_SHARE * seconds
        if ahead and overdue > 0:
            raise refusal("deadline", room, overdue)
        room.take(tokens)
        try:
            yield
        finally:
            room.take(-tokens)

    @asynccontextmanager
    async def admit_pair(self, tokens: int) -> AsyncIterator[None]:
        """Hold room for a pair of a batch or stream, when there is some, in order of arrival."""
        if self._waiting or not self._pairs.fits(tokens):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((tokens, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.cancelled():
                    self._let_in()
                else:  # its turn had come already
                    self._leave(tokens)
                raise
        else:
            self._pairs.take(tokens)
        try:
            yield
        finally:
            self._leave(tokens)

    def _leave(self, tokens: int) -> None:
        self._pairs.take(-tokens)
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            tokens, turn = self._waiting[0]
            if not turn.done():
                if not self._pairs.fits(tokens):
                    return
                self._pairs.take(tokens)
                turn.set_result(None)
            self._waiting.popleft()


def refusal(why: str, room: Room, seconds: float) -> OverloadedError:
    metrics.REFUSALS.labels(why).inc()
    wait = min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)
    reasons = {
        "full": f"too many {room.kind} requests are waiting",
        "deadline": "the work queued ahead would take longer than the deadline allows",
    }
    return OverloadedError(f"{reasons[why]}; try again in {wait:.1f} s", wait)
