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

from spanqa_server.telemetry import metrics

# At a time: of all callers, and of one of them.
AT_ONCE, OF_ONE = 8, 4
# Seconds after which others need not wait for a message any longer; fewer where small ones are
# late, as on slow connections.
PATIENCE, SHORTEST = 0.2, 0.02
# For so many seconds after a large message there may be a flood of them. Then a caller receives one
# at a time: so others get their turns of the event loop, each of which a large message makes long.
LARGE, FLOOD_SECONDS, FLOOD_PATIENCE = 1 << 20, 10.0, 1.0
# Callers whose calls came without their messages in time wait behind the others for so many
# seconds, and have so much of what is received at a time together.
LATE_SECONDS, OF_LATE = 30.0, 4
FEW_CALLERS = 1024


@dataclass(slots=True, eq=False)
class Reading:
    """A message that is awaited; when it is `late`, nobody waits for it."""

    caller: str
    since: float
    prompt: bool
    """Its caller had no reason to wait before sending it."""
    late: bool = False


@dataclass(slots=True, eq=False)
class Turn:
    """A message that waits to be awaited."""

    prompt: bool
    reading: asyncio.Future[Reading]


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
        self._late_until: dict[str, float] = {}
        self._waiting: OrderedDict[str, deque[Turn]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def flooded(self) -> bool:
        """Whether a large message has come, and no small one was late because of that."""
        return self._clock() < self._flood_until

    @property
    def patience(self) -> float:
        """Seconds for which others wait for a message."""
        return FLOOD_PATIENCE if self.flooded else self._patience

    async def begin(self, caller: str, *, prompt: bool) -> Reading:
        """Wait until a caller may receive a message; `end` it when it is there.

        Args:
            caller: whose message it is.
            prompt: the caller has no reason to wait before sending it.
        """
        if not self._waiting and self._has_room(caller):
            return self._start(caller, prompt=prompt)
        turn = Turn(prompt, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(caller, deque()).append(turn)
        self._let_in()
        metrics.MESSAGES_WAITING.inc()
        try:
            return await turn.reading
        except asyncio.CancelledError:
            if not turn.reading.cancelled():  # its turn had come already
                self.end(turn.reading.result(), 0)
            raise
        finally:
            metrics.MESSAGES_WAITING.dec()

    def end(self, reading: Reading, size: int) -> None:
        """The message is there, with so many bytes, or never comes."""
        metrics.MESSAGE_BYTES.inc(size)
        if size > LARGE:
            self._flood_until = self._clock() + FLOOD_SECONDS
            self._patience = PATIENCE
        elif reading.late and reading.prompt and size:
            self._flood_until = -math.inf
            self._patience = max(self._patience / 2, SHORTEST)
        if not reading.late:
            self._leave(reading)
        self._let_in()

    def _has_room(self, caller: str) -> bool:
        own = self._of_callers.get(caller, 0)
        room = len(self._readings) < AT_ONCE and own < (1 if self.flooded else OF_ONE)
        return room and not (self._was_late(caller) and self._count_late_callers() >= OF_LATE)

    def _was_late(self, caller: str) -> bool:
        return self._clock() < self._late_until.get(caller, -math.inf)

    def _count_late_callers(self) -> int:
        return sum(self._was_late(reading.caller) for reading in self._readings)

    def _start(self, caller: str, *, prompt: bool) -> Reading:
        reading = Reading(caller, self._clock(), prompt)
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
        while sum(self._let_one_in(c) for c in sorted(self._waiting, key=self._was_late)):
            pass
        self._look_again()

    def _let_one_in(self, caller: str) -> bool:
        turns = self._waiting[caller]
        while turns and turns[0].reading.done():
            turns.popleft()
        goes = bool(turns) and self._has_room(caller)
        if goes:
            turn = turns.popleft()
            turn.reading.set_result(self._start(caller, prompt=turn.prompt))
            self._waiting.move_to_end(caller)
        if not turns:
            del self._waiting[caller]
        return goes

    def _forget_late(self) -> None:
        latest = self._clock() - self.patience
        while self._readings and (oldest := next(iter(self._readings))).since <= latest:
            oldest.late = True
            self._leave(oldest)
            if oldest.prompt:
                self._note_late(oldest.caller)

    def _note_late(self, caller: str) -> None:
        metrics.MESSAGES_LATE.inc()
        now = self._clock()
        if len(self._late_until) > FEW_CALLERS:
            self._late_until = {one: end for one, end in self._late_until.items() if end > now}
        self._late_until[caller] = now + LATE_SECONDS

    def _look_again(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._waiting and self._readings:
            due = next(iter(self._readings)).since + self.patience
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(due - self._clock(), 0.0), self._let_in)
