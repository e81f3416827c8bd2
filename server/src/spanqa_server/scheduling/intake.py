"""Whose messages are received next: so few at a time that all of them fit into memory.

gRPC tells nobody how large a message is before it is there, and takes all of them in as they come.
So a message that is not read yet counts as one of the largest, but not for long: one that takes
its time is no part of a flood, and others go on.
"""

import asyncio
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

# At a time: of all callers, and of one of them.
AT_ONCE, OF_ONE = 8, 4
# Seconds after which others need not wait for a message any longer; fewer where small ones are
# late, as on slow connections.
PATIENCE, SHORTEST = 0.2, 0.02
# For so many seconds after a large message there may be a flood of them. Then a caller receives one
# at a time: so others get their turns of the event loop, each of which a large message makes long.
LARGE, FLOOD_SECONDS, FLOOD_PATIENCE = 1 << 20, 10.0, 1.0


@dataclass(slots=True, eq=False)
class Reading:
    """A message that is awaited; when it is `late`, nobody waits for it."""

    caller: str
    since: float
    late: bool = False


class Intake:
    """Lets calls receive their messages; callers share."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Nothing is being received.

        Args:
            clock: in seconds; the event loop's.
        """
        self._patience = PATIENCE
        self._flood_until = -math.inf
        self._clock = clock
        self._readings: OrderedDict[Reading, None] = OrderedDict()
        self._of_callers: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[Reading]]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def flooded(self) -> bool:
        """Whether a large message has come, and no small one was late because of that."""
        return self._clock() < self._flood_until

    @property
    def patience(self) -> float:
        """Seconds for which others wait for a message."""
        return FLOOD_PATIENCE if self.flooded else self._patience

    async def begin(self, caller: str) -> Reading:
        """Wait until a caller may receive a message; `end` it when it is there."""
        if not self._waiting and self._has_room(caller):
            return self._start(caller)
        turn: asyncio.Future[Reading] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        self._let_in()
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn had come already
                self.end(turn.result(), 0, prompt=False)
            raise

    def end(self, reading: Reading, size: int, *, prompt: bool) -> None:
        """The message is there, or never comes.

        Args:
            reading: what `begin` returned.
            size: of the message, in bytes.
            prompt: its caller had no reason to wait before sending it.
        """
        if size > LARGE:
            self._flood_until = self._clock() + FLOOD_SECONDS
            self._patience = PATIENCE
        elif reading.late and prompt and size:
            self._flood_until = -math.inf
            self._patience = max(self._patience / 2, SHORTEST)
        if not reading.late:
            self._leave(reading)
        self._let_in()

    def _has_room(self, caller: str) -> bool:
        own = self._of_callers.get(caller, 0)
        return len(self._readings) < AT_ONCE and own < (1 if self.flooded else OF_ONE)

    def _start(self, caller: str) -> Reading:
        reading = Reading(caller, self._clock())
        self._readings[reading] = None
        self._of_callers[caller] += 1
        return reading

    def _leave(self, reading: Reading) -> None:
        del self._readings[reading]
        self._of_callers[reading.caller] -= 1
        if not self._of_callers[reading.caller]:
            del self._of_callers[reading.caller]

    def _let_in(self) -> None:
        if not self._waiting:
            return
        self._forget_late()
        while sum(self._let_one_in(caller) for caller in list(self._waiting)):
            pass
        self._look_again()

    def _let_one_in(self, caller: str) -> bool:
        turns = self._waiting[caller]
        while turns and turns[0].done():
            turns.popleft()
        goes = bool(turns) and self._has_room(caller)
        if goes:
            turns.popleft().set_result(self._start(caller))
            self._waiting.move_to_end(caller)
        if not turns:
            del self._waiting[caller]
        return goes

    def _forget_late(self) -> None:
        latest = self._clock() - self.patience
        while self._readings and (oldest := next(iter(self._readings))).since <= latest:
            oldest.late = True
            self._leave(oldest)

    def _look_again(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._readings:
            due = next(iter(self._readings)).since + self.patience
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(due - self._clock(), 0.0), self._let_in)
