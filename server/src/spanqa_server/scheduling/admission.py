"""Which calls are taken, before any other work is done for them.

A call is refused if the memory of those that were taken before it is used up, or if the queue is so
long that it would not be answered in time (`refusals.py`).
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from prometheus_client import Gauge

from spanqa_server.scheduling.call import Call, working_for
from spanqa_server.scheduling.refusals import refusal
from spanqa_server.scheduling.shared_room import SharedRoom
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.telemetry import metrics

# What a call takes beside its texts, and each of its tokens, windows and logits included.
BYTES_OF_A_CALL, BYTES_OF_A_TOKEN = 32_768, 120
# The pairs of batches and streams, which wait for room, have this share of the memory.
SHARE_OF_PAIRS = 0.25
# Until memory is free again, where the pace of the queue is not known.
FULL_DELAY = 1.0


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
    """Memory of the calls of one kind that are under way, in bytes."""

    kind: str
    capacity: float
    taken: int = 0
    _gauge: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self._gauge = metrics.ADMITTED_BYTES.labels(self.kind)

    def fits(self, size: int) -> bool:
        """Whatever its size, a call fits where there is no other."""
        return not self.taken or self.taken + size <= self.capacity

    def take(self, size: int) -> None:
        """Count them; negative: they are done."""
        self.taken += size
        self._gauge.set(self.taken)


class Admission:
    """Takes calls, or refuses them at once.

    The pairs of batches and streams are not refused but wait: a stream is held back by gRPC's own
    flow control, and a batch was taken as a call.
    """

    def __init__(self, memory: int, budget: TokenBudget, *, long_from: int) -> None:
        """Nothing is taken yet.

        Args:
            memory: bytes that all calls together may take.
            budget: where they will wait for Triton.
            long_from: tokens of a request from which on it is cut into chunks.
        """
        self._calls = Room("calls", memory * (1 - SHARE_OF_PAIRS))
        pairs = metrics.ADMITTED_BYTES.labels("pairs")
        self._pairs = SharedRoom(memory * SHARE_OF_PAIRS, pairs.set)
        self._budget = budget
        self._long_from = long_from

    @contextmanager
    def admit(self, call: Call, *texts: str) -> Iterator[None]:
        """Hold room for a call with these texts; the block works for it.

        Raises:
            OverloadedError: there is no room, or it would wait too long.
        """
        tokens = estimate_tokens(*texts)
        with self._taken(call, memory_of(tokens), tokens):
            yield

    @contextmanager
    def admit_batch(self, call: Call, texts: Iterable[str]) -> Iterator[None]:
        """The same for a batch, whose pairs wait for their own turns; raises as `admit` does."""
        with self._taken(call, memory_of(estimate_tokens(*texts)), 0):
            yield

    @contextmanager
    def _taken(self, call: Call, size: int, tokens: int) -> Iterator[None]:
        with working_for(call):
            if not self._calls.fits(size):
                raise refusal("memory", self._budget.delay or FULL_DELAY)
            self._budget.check(tokens, long=tokens > self._long_from)
            self._calls.take(size)
            try:
                yield
            finally:
                self._calls.take(-size)

    @asynccontextmanager
    async def admit_pair(self, call: Call, *texts: str) -> AsyncIterator[None]:
        """Hold room for a pair of a batch or stream, when there is some; callers share it."""
        size = memory_of(estimate_tokens(*texts))
        async with self._pairs.hold(call.caller, size):
            with working_for(replace(call, may_wait=True)):
                yield


def memory_of(tokens: int) -> int:
    """Bytes that a call of so many tokens takes, estimated."""
    return BYTES_OF_A_CALL + BYTES_OF_A_TOKEN * tokens
