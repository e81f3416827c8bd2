"""Work that waits for its turn: callers share, and of each the earliest deadline goes first.

Callers take turns by tokens, as in fair queueing (Demers, Keshav and Shenker, 1989): one with five
hundred calls does not keep another's single call waiting behind all of them. What one caller sends
goes by its deadlines, so calls that may wait longer do.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from spanqa_server.scheduling.call import Call
from spanqa_server.scheduling.pace import Pace

# What one of several gets is known later: who is there beside it changes within seconds.
SHARE_MEMORY_SECONDS, SHARE_STANDING_SECONDS = 30.0, 20.0
# So few entries that are done are not worth looking for.
FEW = 64


@dataclass(slots=True, order=True)
class Waiter:
    """A piece of work that waits; the least of a caller goes first."""

    deadline: float
    order: int
    tokens: int = field(compare=False)
    call: Call = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)


@dataclass(slots=True, eq=False)
class Caller:
    """What waits of one caller, and from when it is due again, in virtual time.

    Virtual time is the tokens that each of the callers with waiting work would have had if all
    were served at the same time.
    """

    pace: Pace
    due: float = 0.0
    tokens: int = 0
    count: int = 0
    listed: bool = False
    waiters: list[Waiter] = field(default_factory=list)

    def add(self, waiter: Waiter) -> None:
        if not self.count:
            self.pace.begin()
        heapq.heappush(self.waiters, waiter)
        self.tokens += waiter.tokens
        self.count += 1

    def remove(self, waiter: Waiter) -> None:
        """It is done; those that gave up far behind the first are looked for now and then."""
        self.tokens -= waiter.tokens
        self.count -= 1
        if not self.count:
            self.pace.end()
        if len(self.waiters) > FEW + 2 * self.count:
            self.waiters = [one for one in self.waiters if not one.turn.done()]
            heapq.heapify(self.waiters)

    def first(self) -> Waiter | None:
        """The next one; those that gave up are dropped."""
        while self.waiters and self.waiters[0].turn.done():
            heapq.heappop(self.waiters)
        return self.waiters[0] if self.waiters else None

    def before(self, deadline: float) -> int:
        """Tokens that go before work with this deadline."""
        if not self.waiters:
            return 0
        early = (one for one in self.waiters if one.deadline <= deadline)
        return sum(one.tokens for one in early if not one.turn.done())


class WaitingLine:
    """Waiters in the order in which they go."""

    def __init__(self, clock: Callable[[], float], pace: Pace | None = None) -> None:
        """Nothing waits.

        Args:
            clock: in seconds; the event loop's.
            pace: of Triton, while something waits in this line or another; who has it notes what
                Triton does. None: one of its own.
        """
        self.pace = pace or Pace(clock)
        self._own_pace = Pace(clock, memory=SHARE_MEMORY_SECONDS, standing=SHARE_STANDING_SECONDS)
        self.tokens = 0
        self._clock = clock
        self._virtual = 0.0
        self._waiting_callers = 0
        self._order = itertools.count()
        self._callers: dict[str, Caller] = {}
        self._tidy_at = FEW
        self._due: list[tuple[float, int, Caller]] = []

    def __bool__(self) -> bool:
        """Whether something waits."""
        return self.tokens > 0

    def __iter__(self) -> Iterator[Waiter]:
        """All that wait, in no order."""
        for caller in self._callers.values():
            yield from (one for one in caller.waiters if not one.turn.done())

    def join(self, tokens: int, call: Call) -> Waiter:
        """Wait with so many tokens on behalf of a call."""
        if not self.tokens:
            self.pace.begin()
            self._own_pace.begin()
        turn = asyncio.get_running_loop().create_future()
        waiter = Waiter(call.deadline.at, next(self._order), tokens, call, turn)
        caller = self._callers.get(call.caller)
        if caller is None:
            caller = self._callers[call.caller] = Caller(
                Pace(self._clock, memory=SHARE_MEMORY_SECONDS, standing=SHARE_STANDING_SECONDS)
            )
        self._waiting_callers += not caller.count
        caller.add(waiter)
        self.tokens += tokens
        if not caller.listed:
            caller.due = max(caller.due, self._virtual)
            self._list(caller)
        return waiter

    def first(self, passes: Callable[[Waiter], bool] = lambda waiter: False) -> Waiter | None:
        """The one whose turn it is, of those that do not pass; of a caller, the first may go."""
        while self._due and not self._due[0][2].first():
            heapq.heappop(self._due)[2].listed = False
        if not self._due:
            return None
        first = self._due[0][2].first()
        assert first
        if not passes(first):
            return first
        firsts = (caller.first() for _, _, caller in sorted(self._due)[1:])
        return next((one for one in firsts if one and not passes(one)), None)

    def go(self, waiter: Waiter | None = None) -> Waiter:
        """Let the first one go, or the first of its caller."""
        first = waiter or self.first()
        assert first
        caller = self._callers[first.call.caller]
        due = self._unlist(caller)
        self._virtual += first.tokens / self._waiting_callers
        caller.due = due + first.tokens
        heapq.heappop(caller.waiters)
        self._own_pace.went(first.tokens)
        caller.pace.went(first.tokens)
        self._remove(caller, first)
        if caller.first():
            self._list(caller)
        return first

    def leave(self, waiter: Waiter) -> None:
        """Somebody gave up, whose turn is done."""
        self._remove(self._callers[waiter.call.caller], waiter)

    def own_tokens(self, call: Call) -> int:
        """Of the call's own caller, what goes before it."""
        caller = self._callers.get(call.caller)
        return caller.before(call.deadline.at) if caller else 0

    def wait(self, tokens: int, call: Call, beside: int = 0) -> float | None:
        """Seconds until so many tokens of a call would go; None while the pace is not known.

        Its caller's work goes before it, and of each other's as much as is its share; the same of
        what waits in lines `beside` this one. Where that is slower, work goes at the pace of its
        caller, or of this line: others may keep coming.
        """
        pace = self.pace.tokens_per_second if self.tokens else None
        if pace is None:
            return None
        caller = self._callers.get(call.caller)
        own = self.own_tokens(call)
        lag = max(0.0, caller.due - self._virtual) if caller else 0.0
        share = own + tokens + lag
        others = (one.tokens for one in self._callers.values() if one is not caller)
        line = own + sum(min(waiting, share) for waiting in others)
        wait = (line + min(beside, line + tokens)) / max(pace, 1.0)
        for before, known in ((line, self._own_pace), (own, caller and caller.pace)):
            if known and (alone := known.tokens_per_second) is not None:
                wait = max(wait, before / max(alone, 1.0))
        return wait

    def _list(self, caller: Caller) -> None:
        caller.listed = True
        heapq.heappush(self._due, (caller.due, next(self._order), caller))

    def _unlist(self, caller: Caller) -> float:
        """Take a caller off the list; from when it was due."""
        caller.listed = False
        if self._due[0][2] is caller:
            return heapq.heappop(self._due)[0]
        [entry] = [one for one in self._due if one[2] is caller]
        self._due.remove(entry)
        heapq.heapify(self._due)
        return entry[0]

    def _remove(self, caller: Caller, waiter: Waiter) -> None:
        caller.remove(waiter)
        self._waiting_callers -= not caller.count
        self.tokens -= waiter.tokens
        if not self.tokens:
            self.pace.end()
            self._own_pace.end()
            self._callers.clear()
            self._due.clear()
            self._virtual = 0.0
        elif len(self._callers) > self._tidy_at:
            self._forget_callers()

    def _forget_callers(self) -> None:
        """Those of whom nothing waits, and who have not had more than the others."""
        self._due = [entry for entry in self._due if entry[2].count]
        heapq.heapify(self._due)
        self._callers = {
            name: one for name, one in self._callers.items() if one.count or one.due > self._virtual
        }
        for one in self._callers.values():
            one.listed = one.count > 0
        self._tidy_at = max(FEW, 2 * len(self._callers))
