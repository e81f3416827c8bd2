"""The token budget: who goes when, and that nothing stays behind."""

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from spanqa_server.scheduling.token_budget import TokenBudget


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

    def __init__(self, capacity: int, chunk_capacity: int | None = None) -> None:
        self.budget = TokenBudget(capacity, chunk_capacity)
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
    assert len(crowd.budget._oldest) < 200
    await crowd.drain()
    assert (crowd.budget.in_flight, crowd.budget.waiting) == (0, 0)


async def test_the_oldest_work_gets_its_share_while_shorter_work_keeps_coming() -> None:
    crowd = Crowd(10)
    crowd.add(10)
    await settle()
    crowd.add(10, 1000)
    shorts = [crowd.add(10) for _ in range(12)]
    await settle()
    for _ in range(5):
        crowd.running()[0].end.set()
        await settle()
    assert crowd.log == [0, *(work.number for work in shorts[:4]), 1]
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_chunks_leave_room_for_what_comes_after_them() -> None:
    crowd = Crowd(100, chunk_capacity=20)
    chunks = [crowd.add(10, 1000) for _ in range(4)]
    await settle()
    assert [work.admitted for work in chunks] == [True, True, False, False]
    short = crowd.add(10)
    await settle()
    assert short.admitted
    chunks[0].end.set()
    await settle()
    assert [work.admitted for work in chunks] == [True, True, True, False]
    await crowd.drain()
    large = crowd.add(30, 1000)
    await settle()
    assert large.admitted, "one goes alone where it is larger than what chunks may take"
    await crowd.drain()
    assert crowd.budget.in_flight == 0


async def test_chunks_have_their_share_of_what_is_in_flight() -> None:
    crowd = Crowd(200, chunk_capacity=20)
    chunks = [crowd.add(20, 1000) for _ in range(3)]
    short = [crowd.add(20) for _ in range(5)]
    await settle()
    assert all(work.admitted for work in short)
    assert [work.admitted for work in chunks] == [True, False, False]
    crowd.add(20)  # with it and another chunk, chunks are a quarter
    await settle()
    assert [work.admitted for work in chunks] == [True, True, False]
    await crowd.drain()
    assert crowd.budget.in_flight == 0


class Model:
    """What the docstring of TokenBudget promises, in the simplest words."""

    def __init__(self, capacity: int, chunk_capacity: int) -> None:
        self.capacity = capacity
        self.chunk_capacity = chunk_capacity
        self.waiting: list[Work] = []
        self.running: list[Work] = []
        self.owed = 0.0

    def admit(self) -> None:
        while self.waiting:
            oldest = min(self.waiting, key=lambda work: work.number)
            first = min(self.waiting, key=lambda work: (work.request_tokens, work.number))
            if self.owed >= oldest.tokens and self.has_chunk_room(oldest):
                first = oldest
            used = sum(work.tokens for work in self.running)
            if (used and used + first.tokens > self.capacity) or not self.has_chunk_room(first):
                return
            self.waiting.remove(first)
            self.running.append(first)
            self.owed = 0 if first is oldest else self.owed + first.tokens / 4
        self.owed = 0

    def has_chunk_room(self, work: Work) -> bool:
        used = sum(one.tokens for one in self.running if is_chunk(one))
        share = (work.tokens + sum(one.tokens for one in self.running)) / 4
        room = max(self.chunk_capacity, share)
        return not is_chunk(work) or not used or used + work.tokens <= room


def is_chunk(work: Work) -> bool:
    return work.tokens < work.request_tokens


@pytest.mark.parametrize("seed", range(60))
async def test_random_interleavings_go_as_the_model_does(seed: int) -> None:
    dice = random.Random(seed)
    capacity = dice.randint(1, 120)
    chunk_capacity = dice.randint(1, max(1, capacity // 6))
    crowd, model = Crowd(capacity, chunk_capacity), Model(capacity, chunk_capacity)
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
