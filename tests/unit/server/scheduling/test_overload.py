"""Admission control as a whole, before a Triton that exists in virtual time only."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from spanqa_server.errors import DeadlineError, OverloadedError
from spanqa_server.scheduling.call import Call, working_for
from spanqa_server.scheduling.deadline import Deadline
from spanqa_server.scheduling.token_budget import TokenBudget

OK, REFUSED, LATE = "OK", "REFUSED", "LATE"
MOST_IN_FLIGHT, BATCH = 16_384, 32
SLOW, FAST = 600, 4000  # tokens a second; BERT-large does 600 on two cores


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to what comes next."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


@dataclass(slots=True)
class Outcome:
    sent: float
    seconds: float
    code: str
    tokens: int


@dataclass
class Server:
    """Calls come to the budget, and go from there to a Triton of so many tokens a second."""

    speed: float
    outcomes: list[Outcome] = field(default_factory=list)
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self.clock = asyncio.get_running_loop().time
        self.budget = TokenBudget(MOST_IN_FLIGHT, 1024, self.clock)
        self.queue: asyncio.Queue[tuple[int, asyncio.Future[None]]] = asyncio.Queue()

    async def compute(self) -> None:
        while True:
            batch = [await self.queue.get()]
            while len(batch) < BATCH and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            await asyncio.sleep(sum(tokens for tokens, _ in batch) / self.speed)
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    async def call(self, caller: str, seconds: float, tokens: int = 0) -> Outcome:
        tokens = tokens or min(384, max(60, round(self.random.gauss(170, 60))))
        begin, deadline = self.clock(), Deadline.after(seconds)
        code = OK
        try:
            async with deadline.bounds():
                with working_for(Call(caller, deadline)):
                    self.budget.check(tokens, long=False)
                    async with self.budget.reserve(tokens):
                        done = asyncio.get_running_loop().create_future()
                        self.queue.put_nowait((tokens, done))
                        await done
        except OverloadedError:
            code = REFUSED
        except DeadlineError:
            code = LATE
        outcome = Outcome(begin, self.clock() - begin, code, tokens)
        self.outcomes.append(outcome)
        return outcome

    async def open_loop(self, rate: float, until: float, seconds: float, callers: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in itertools.count():
                if self.clock() >= until:
                    return
                group.create_task(self.call(str(number % callers), seconds))
                await asyncio.sleep(1 / rate)

    async def closed_loop(self, caller: str, until: float, seconds: float) -> None:
        while self.clock() < until:
            if (await self.call(caller, seconds)).code == REFUSED:
                await asyncio.sleep(1.0)

    def codes(self) -> Counter[str]:
        return Counter(one.code for one in self.outcomes)


def simulate(speed: float, work: Callable[[Server], Coroutine[Any, Any, None]]) -> Server:
    async def run() -> Server:
        server = Server(speed)
        computing = asyncio.create_task(server.compute())
        await work(server)
        computing.cancel()
        return server

    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        return runner.run(run())


@pytest.mark.parametrize("callers", [1, 16, 100])
@pytest.mark.parametrize(("speed", "seconds"), [(SLOW, 10.0), (SLOW, 5.0), (FAST, 5.0)])
def test_five_times_too_many_calls(speed: float, seconds: float, callers: int) -> None:
    capacity = speed / 170
    server = simulate(speed, lambda made: made.open_loop(5 * capacity, 60.0, seconds, callers))
    answered = [one for one in server.outcomes if one.code == OK]
    in_time = sum(one.tokens for one in answered if one.sent + one.seconds <= 60.0)
    assert in_time >= 0.95 * speed * 60.0
    settled = [one for one in server.outcomes if one.sent >= 15.0]
    taken = [one for one in settled if one.code != REFUSED]
    assert sum(one.code == LATE for one in taken) <= 0.01 * len(taken)
    median = sorted(one.seconds for one in taken)[len(taken) // 2]
    assert median <= 0.5 * seconds, "the queue stays short"


@pytest.mark.parametrize(("calls", "seconds"), [(14, 5.0), (50, 20.0), (120, 60.0)])
def test_a_burst_at_a_fresh_server_is_answered(calls: int, seconds: float) -> None:
    async def burst(server: Server) -> None:
        await asyncio.gather(*(server.call("a", seconds) for _ in range(calls)))

    assert simulate(SLOW, burst).codes() == {OK: calls}


@pytest.mark.parametrize("connections", [1, 16])
@pytest.mark.parametrize("callers", [32, 128])
def test_callers_who_wait_for_answers_are_not_refused(callers: int, connections: int) -> None:
    async def ask(server: Server) -> None:
        names = (str(number % connections) for number in range(callers))
        await asyncio.gather(*(server.closed_loop(name, 30.0, 60.0) for name in names))

    for speed in (SLOW, FAST):
        assert simulate(speed, ask).codes().keys() == {OK}


def test_one_call_beside_five_hundred() -> None:
    singles: list[float] = []

    async def single(server: Server) -> None:
        while server.clock() < 30.0:
            outcome = await server.call("one", 30.0)
            assert outcome.code == OK
            singles.append(outcome.seconds)

    async def both(server: Server) -> None:
        many = (server.closed_loop("many", 30.0, 60.0) for _ in range(500))
        await asyncio.gather(*many, single(server))

    server = simulate(FAST, both)
    assert server.codes().keys() == {OK}
    singles.sort()
    assert singles[len(singles) * 99 // 100] <= 3 * singles[len(singles) // 2]
    assert singles[-1] <= 1.5


def test_after_an_overload_calls_are_answered_soon() -> None:
    async def rise_and_fall(server: Server) -> None:
        capacity = server.speed / 170
        loads = (
            server.open_loop(5 * capacity, 30.0, 5.0, 16),
            server.open_loop(capacity / 4, 60.0, 5.0, 16),
        )
        await asyncio.gather(*loads)

    for speed in (SLOW, FAST):
        server = simulate(speed, rise_and_fall)
        later = [one for one in server.outcomes if one.sent >= 32.0]
        assert {one.code for one in later} == {OK}
        assert max(one.seconds for one in later) <= 2.0
