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
from spanqa_server.triton.client import all_of

OK, REFUSED, LATE = "OK", "REFUSED", "LATE"
MOST_IN_FLIGHT, CHUNK, BATCH = 16_384, 1024, 32
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


def short(source: random.Random) -> int:
    """Tokens of a paragraph and a question."""
    return min(384, max(60, round(source.gauss(170, 60))))


def long(source: random.Random) -> int:
    """Tokens of all windows of a text of 177 to 2,329 words."""
    return source.randint(300, 4600)


@dataclass
class Server:
    """Calls come to the budget, and go from there to a Triton of so many tokens a second."""

    speed: float
    size: Callable[[random.Random], int] = short
    outcomes: list[Outcome] = field(default_factory=list)
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self.clock = asyncio.get_running_loop().time
        self.budget = TokenBudget(MOST_IN_FLIGHT, CHUNK, self.clock)
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

    async def infer(self, tokens: int, *, chunk: bool) -> None:
        async with self.budget.reserve(tokens, chunk=chunk):
            done = asyncio.get_running_loop().create_future()
            self.queue.put_nowait((tokens, done))
            await done

    async def call(self, caller: str, seconds: float) -> Outcome:
        tokens = self.size(self.random)
        begin, deadline = self.clock(), Deadline.after(seconds)
        code = OK
        try:
            async with deadline.bounds():
                call = Call(caller, deadline)
                self.budget.check(tokens, call, long=tokens > CHUNK)
                with working_for(call):
                    chunks = [min(CHUNK, tokens - at) for at in range(0, tokens, CHUNK)]
                    await all_of(self.infer(one, chunk=tokens > CHUNK) for one in chunks)
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


def simulate(
    speed: float,
    work: Callable[[Server], Coroutine[Any, Any, None]],
    size: Callable[[random.Random], int] = short,
) -> Server:
    async def run() -> Server:
        server = Server(speed, size)
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


@pytest.mark.parametrize("connections", [1, 16])
def test_callers_with_texts_of_all_lengths_are_not_refused(connections: int) -> None:
    async def ask(server: Server) -> None:
        names = (str(number % connections) for number in range(64))
        await asyncio.gather(*(server.closed_loop(name, 60.0, 60.0) for name in names))

    server = simulate(8_000, ask, long)
    assert server.codes().keys() == {OK}
    assert max(one.seconds for one in server.outcomes) > 20.0, "it is near its limit"


def test_five_times_too_many_calls_with_texts_of_all_lengths() -> None:
    speed, seconds, until = 8_000, 10.0, 90.0
    rate = 5 * speed / 2450
    server = simulate(speed, lambda made: made.open_loop(rate, until, seconds, 16), long)
    answered = [
        one for one in server.outcomes if one.code == OK and one.sent + one.seconds <= until
    ]
    assert sum(one.tokens for one in answered) >= 0.9 * speed * until
    taken = [one for one in server.outcomes if one.sent >= 30.0 and one.code != REFUSED]
    assert sum(one.code == LATE for one in taken) <= 0.01 * len(taken)


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
