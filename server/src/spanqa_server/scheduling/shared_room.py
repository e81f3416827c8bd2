"""Memory that callers share: none of them can take all of it, and those who have least go first."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who waits for so many bytes."""

    size: int
    order: int
    turn: asyncio.Future[None]


@dataclass(slots=True)
class Holder:
    """What a caller has, in bytes, and what of its work waits, in order of arrival."""

    taken: int = 0
    waiters: deque[Waiter] = field(default_factory=deque)

    def first(self) -> Waiter | None:
        """The next one; those that gave up are dropped."""
        while self.waiters and self.waiters[0].turn.done():
            self.waiters.popleft()
        return self.waiters[0] if self.waiters else None


class SharedRoom:
    """Room for work that waits where there is none.

    A caller may take as much as it leaves free, as with the dynamic thresholds of switches
    (Choudhury and Hahne, 1998). So one that comes later finds room at once, however much another
    has sent. Whatever its size, work fits where there is no other.
    """

    def __init__(self, capacity: float, report: Callable[[float], None]) -> None:
        """Nothing is taken.

        Args:
            capacity: in bytes.
            report: told how much is taken, whenever that changes.
        """
        self.taken = 0
        self._capacity = capacity
        self._report = report
        self._holders: dict[str, Holder] = {}
        self._order = itertools.count()

    @asynccontextmanager
    async def hold(self, caller: str, size: int) -> AsyncIterator[None]:
        """Hold so many bytes for a caller, when there is room and its turn has come."""
        holder = self._holders.setdefault(caller, Holder())
        turn = asyncio.get_running_loop().create_future()
        holder.waiters.append(Waiter(size, next(self._order), turn))
        self._let_in()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():
                self._take(holder, -size)
            self._let_in()
            if not holder.taken and not holder.first():
                self._holders.pop(caller, None)

    def _let_in(self) -> None:
        while chosen := self._choose():
            holder, waiter = chosen
            self._take(holder, waiter.size)
            holder.waiters.popleft()
            waiter.turn.set_result(None)

    def _choose(self) -> tuple[Holder, Waiter] | None:
        """The first of whoever has least, if there is room for it: nobody passes it."""
        ready = [
            (holder.taken, first.order, holder, first)
            for holder in self._holders.values()
            if (first := holder.first()) and self._leaves_as_much(holder, first.size)
        ]
        if not ready:
            return None
        _, _, holder, waiter = min(ready)
        fits = not self.taken or self.taken + waiter.size <= self._capacity
        return (holder, waiter) if fits else None

    def _leaves_as_much(self, holder: Holder, size: int) -> bool:
        free = self._capacity - self.taken - size
        return not holder.taken or holder.taken + size <= free

    def _take(self, holder: Holder, size: int) -> None:
        holder.taken += size
        self.taken += size
        self._report(self.taken)
