"""The token budget: who goes when, and that nothing stays behind."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from spanqa_server.triton.dispatcher import TokenBudget


@dataclass
class Work:
    """Holds its tokens from when it is admitted until it is told how to end."""

    number: int
    tokens: int
    request_tokens: int
    admitted: bool = False
    end: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    task: asyncio.Task[None] = field(init=False)

    async def run(self, budget: TokenBudget, log: list[int]) -> None:
        async with budget.reserve(self.tokens, self.request_tokens):
            self.admitted = True
            log.append(self.number)
            await self.end.wait()
            if self.error:
                raise self.error


class Crowd:
    """Work on one budget, in the order in which it came."""

    def __init__(self, capacity: int) -> None:
        self.budget = TokenBudget(capacity)
        self.works: list[Work] = []
        self.log: list[int] = []

    def add(self, tokens: int, request_tokens: int | None = None) -> Work:
        work = Work(len(self.works), tokens, request_tokens or tokens)
        work.task = asyncio.create_task(work.run(self.budget, self.log))
        self.works.append(work)
        return work

    def running(self) -> list[Work]:
        return [work for work in self.works if work.admitted and not work.task.done()]

    async def drain(self) -> None:
        while self.running():
            self.running()[0].end.set()
            await settle()
        await asyncio.gather(*(work.task for work in self.works), return_exceptions=True)


async def settle() -> None:
    """Let every task go as far as it can: none of them waits for time to pass."""
    for _ in range(6):
        await asyncio.sleep(0)


async def test_work_waits_until_there_is_room() -> None:
    crowd = Crowd(100)
    first, second, third = crowd.add(60), crowd.add(40), crowd.add(1)
    await settle()
    assert (first.admitted, second.admitted, third.admitted) == (True, True, False)
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (100, 1)
    second.end.set()
    await settle()
    assert third.admitted
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (61, 0)
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_short_requests_overtake_and_equals_keep_their_order() -> None:
    crowd = Crowd(10)
    crowd.add(10)
    await settle()
    for request_tokens in (500, 500, 20, 500, 10, 20):
        crowd.add(10, request_tokens)
        await settle()
    assert crowd.log == [0]
    await crowd.drain()
    assert crowd.log == [0, 5, 3, 6, 1, 2, 4]


async def test_oversized_work_goes_alone() -> None:
    crowd = Crowd(10)
    small = crowd.add(4)
    await settle()
    huge = crowd.add(25)
    later = crowd.add(3, 30)
    await settle()
    assert (huge.admitted, later.admitted) == (False, False)
    small.end.set()
    await settle()
    assert (huge.admitted, later.admitted) == (True, False)
    assert crowd.budget.in_flight == 25
    huge.end.set()
    await settle()
    assert later.admitted
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_an_error_gives_the_tokens_back() -> None:
    crowd = Crowd(10)
    broken, waiting = crowd.add(7), crowd.add(7)
    await settle()
    broken.error = RuntimeError("broken")
    broken.end.set()
    with pytest.raises(RuntimeError, match="broken"):
        await broken.task
    assert waiting.admitted
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_cancelled_work_gives_the_tokens_back() -> None:
    crowd = Crowd(10)
    running, waiting = crowd.add(10), crowd.add(10)
    await settle()
    running.task.cancel()
    await settle()
    assert waiting.admitted
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_work_cancelled_at_the_moment_it_is_admitted() -> None:
    crowd = Crowd(10)
    async with crowd.budget.reserve(10, 10):
        unlucky, next_one = crowd.add(10), crowd.add(10)
        await settle()
    # Leaving has admitted it already, but its task has not run yet.
    unlucky.task.cancel()
    await settle()
    assert (unlucky.admitted, next_one.admitted) == (False, True)
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_a_waiter_that_gives_up_lets_those_behind_it_go() -> None:
    crowd = Crowd(100)
    crowd.add(50)
    await settle()
    blocking, behind = crowd.add(60), crowd.add(40, 70)
    await settle()
    assert (blocking.admitted, behind.admitted) == (False, False)
    blocking.task.cancel()
    await settle()
    assert behind.admitted
    assert crowd.budget.in_flight == 90
    await crowd.drain()


async def test_waiters_that_gave_up_are_forgotten_while_shorter_ones_keep_coming() -> None:
    crowd = Crowd(10)
    crowd.add(10)
    crowd.add(10, 1)
    await settle()
    for _ in range(2000):
        crowd.add(10, 500)
        await asyncio.sleep(0)
        crowd.works.pop().task.cancel()
    await settle()
    assert crowd.budget.waiting == 1
    assert len(crowd.budget._waiting) < 200
    await crowd.drain()
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (0, 0)


class Model:
    """What the docstring of TokenBudget promises, in the simplest words."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.waiting: list[Work] = []
        self.running: list[Work] = []

    def admit(self) -> None:
        self.waiting.sort(key=lambda work: (work.request_tokens, work.number))
        while self.waiting:
            used = sum(work.tokens for work in self.running)
            if used and used + self.waiting[0].tokens > self.capacity:
                return
            self.running.append(self.waiting.pop(0))


@pytest.mark.parametrize("seed", range(60))
async def test_random_interleavings_go_as_the_model_does(seed: int) -> None:
    dice = random.Random(seed)
    capacity = dice.randint(1, 60)
    crowd, model = Crowd(capacity), Model(capacity)
    for _ in range(150):
        step(dice, crowd, model)
        model.admit()
        await settle()
        assert {work.number for work in crowd.running()} == {w.number for w in model.running}
        used = sum(work.tokens for work in model.running)
        assert crowd.budget.in_flight == used
        assert used <= capacity or len(model.running) == 1
        assert crowd.budget.waiting == len(model.waiting)
    await crowd.drain()
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (0, 0)


def step(dice: random.Random, crowd: Crowd, model: Model) -> None:
    """New work comes, a waiter gives up, or running work ends: well, badly or cancelled."""
    action = dice.choice(["come", "come", "give up", "end", "fail", "cancel"])
    if action == "come":
        model.waiting.append(crowd.add(dice.randint(1, 20), dice.randint(1, 6) * 10))
    elif action == "give up" and model.waiting:
        model.waiting.pop(dice.randrange(len(model.waiting))).task.cancel()
    elif action != "give up" and model.running:
        work = model.running.pop(dice.randrange(len(model.running)))
        work.error = ValueError() if action == "fail" else None
        if action == "cancel":
            work.task.cancel()
        else:
            work.end.set()
