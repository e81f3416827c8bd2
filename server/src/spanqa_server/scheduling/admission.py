"""Which calls are taken, before any other work is done for them.

A call is refused if the memory of those that were taken before it is used up, or if the queue is so
long that it would not be answered in time (`refusals.py`).
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from prometheus_client import Gauge

from spanqa_server.scheduling.call import Call, working_for
from spanqa_server.scheduling.refusals import refusal
from spanqa_server.scheduling.shared_room import SharedRoom
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.telemetry import metrics

# What a call takes, and each token of its windows: text, tensors, logits and their decoding.
BYTES_OF_A_CALL, BYTES_OF_A_TOKEN = 32_768, 80
# Of the memory: for calls; for those of callers who have next to none under way; for the pairs of
# batches and streams, which wait for room. The rest is for what estimates do not see.
SHARE_OF_CALLS, SHARE_OF_FEW, SHARE_OF_PAIRS = 0.6, 0.1, 0.2
# Of the calls' share, what a caller may have and still count as one who has next to none.
FEW = 1 / 256
# An estimate may be so far off: texts of English, and of most languages, are within it.
SLACK = 1.3
# Until memory is free again, where the pace of the queue is not known.
FULL_DELAY = 1.0


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


class UnderestimatedError(Exception):
    """A call has many more tokens than was thought, and must be admitted again with these."""

    def __init__(self, tokens: int) -> None:
        super().__init__(tokens)
        self.tokens = tokens


class Admission:
    """Takes calls, or refuses them at once.

    One caller cannot take all memory from the others: a part is for those who have next to none.
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
        self._calls = Room("calls", memory * SHARE_OF_CALLS)
        self._few = memory * SHARE_OF_FEW
        self._of_callers: Counter[str] = Counter()
        pairs = metrics.ADMITTED_BYTES.labels("pairs")
        self._pairs = SharedRoom(memory * SHARE_OF_PAIRS, pairs.set)
        self._budget = budget
        self._long_from = long_from

    def admit(self, call: Call, tokens: int, message: int = 0) -> AbstractContextManager[None]:
        """Hold room for a call; the block works for it.

        Args:
            call: who asks, and until when.
            tokens: of all its windows, estimated.
            message: bytes that it takes beside them.

        Raises:
            OverloadedError: there is no room, or it would wait too long.
        """
        return self._taken(call, memory_of(tokens) + message, tokens)

    def admit_batch(self, call: Call, message: int) -> AbstractContextManager[None]:
        """The same for a batch, whose pairs wait for their own turns; raises as `admit` does."""
        return self._taken(call, BYTES_OF_A_CALL + message, 0)

    @contextmanager
    def _taken(self, call: Call, size: int, tokens: int) -> Iterator[None]:
        # What is estimated at more is refused once it is counted, or less.
        size = min(size, int(self._calls.capacity))
        if not self._fits(call.caller, size):
            raise refusal("memory", self._budget.delay or FULL_DELAY)
        self._budget.check(tokens, call, long=tokens > self._long_from)
        self._count(call.caller, size)
        try:
            with working_for(call):
                yield
        finally:
            self._count(call.caller, -size)

    def _fits(self, caller: str, size: int) -> bool:
        if self._calls.fits(size):
            return True
        has_few = self._of_callers[caller] + size <= FEW * self._calls.capacity
        return has_few and self._calls.taken + size <= self._calls.capacity + self._few

    def _count(self, caller: str, size: int) -> None:
        self._calls.take(size)
        self._of_callers[caller] += size
        if not self._of_callers[caller]:
            del self._of_callers[caller]

    @asynccontextmanager
    async def admit_pair(self, call: Call, tokens: int, message: int = 0) -> AsyncIterator[None]:
        """Hold room for a pair of a batch or stream, when there is some; callers share it.

        Its `message` is counted where it is not part of a batch, which was counted before.
        """
        async with self._pairs.hold(call.caller, memory_of(tokens) + message):
            with working_for(replace(call, may_wait=True)):
                yield


def check_estimate(estimated: int, counted: int) -> None:
    """Raises UnderestimatedError where the memory of a call is more than what it holds."""
    if counted > SLACK * estimated + BYTES_OF_A_CALL // BYTES_OF_A_TOKEN:
        raise UnderestimatedError(counted)


def memory_of(tokens: int) -> int:
    """Bytes that a call with so many tokens in its windows takes."""
    return BYTES_OF_A_CALL + BYTES_OF_A_TOKEN * tokens


def most_tokens(memory: int) -> int:
    """The tokens of the largest call that so much memory, of all that is under way, allows."""
    return max(0, int(memory * SHARE_OF_CALLS) - BYTES_OF_A_CALL) // BYTES_OF_A_TOKEN
