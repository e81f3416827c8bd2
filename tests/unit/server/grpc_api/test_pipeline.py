"""The pipeline: how much it reads, what it gives, and that nothing stays behind at its end."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa_server.grpc_api.pipeline import pipeline


@dataclass
class World:
    """Pairs to read, and work on them that ends when a test says so."""

    pairs: int
    read: int = 0
    begun: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    broken: dict[int, Exception] = field(default_factory=dict)
    futures: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    without_room: set[int] = field(default_factory=set)

    async def source(self) -> AsyncIterator[int]:
        for number in range(self.pairs):
            self.read += 1
            if error := self.broken.get(number):
                raise error
            yield number

    async def work(self, number: int, has_room: Callable[[], None]) -> int:
        self.begun.append(number)
        if number not in self.without_room:
            has_room()
        future = self.futures.setdefault(number, asyncio.get_running_loop().create_future())
        try:
            return await future
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise

    def finish(self, *numbers: int) -> None:
        for number in numbers:
            self.futures[number].set_result(number)


async def settle() -> None:
    """Let every task go as far as it can: none of them waits for time to pass."""
    for _ in range(50):
        await asyncio.sleep(0)


def others() -> set[asyncio.Task[object]]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current}


async def at_once(number: int, has_room: Callable[[], None]) -> int:
    return number


@pytest.fixture
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio has nothing to complain about, such as an error that nobody looked at."""
    yield
    gc.collect()
    assert [*caplog.get_records("call"), *caplog.records] == []


async def test_so_many_pairs_are_read_at_once_and_no_more() -> None:
    world = World(10)
    async with aclosing(pipeline(world.source(), world.work, 3)) as results:
        first = asyncio.ensure_future(anext(results))
        await settle()
        assert (world.read, world.begun) == (3, [0, 1, 2])
        world.finish(1, 2)
        await settle()
        assert first.result() == 1
        assert world.read == 3, "a result that nobody took makes no room"
        assert await anext(results) == 2
        await settle()
        assert world.read == 4
    assert sorted(world.cancelled) == [0, 3]


async def test_nothing_is_read_while_a_pair_waits_for_room() -> None:
    world = World(10, without_room={1})
    async with aclosing(pipeline(world.source(), world.work, 5)) as results:
        first = asyncio.ensure_future(anext(results))
        await settle()
        assert (world.read, world.begun) == (2, [0, 1])
        world.finish(1)  # it is refused, say
        await settle()
        assert first.result() == 1
        assert world.read == 5


async def test_a_large_batch_lets_others_have_their_turn() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    neighbour = asyncio.create_task(other())
    async with aclosing(pipeline(World(1000).source(), at_once, 1000)) as results:
        async for _ in results:
            pass
    neighbour.cancel()
    assert turns >= 1000


@given(st.integers(0, 40), st.integers(1, 9), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_every_pair_gives_one_result_whatever_the_order(
    pairs: int, at_once: int, seed: int
) -> None:
    dice = random.Random(seed)

    async def work(number: int, has_room: Callable[[], None]) -> int:
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        return number

    async def run() -> list[int]:
        found = [number async for number in pipeline(World(pairs).source(), work, at_once)]
        assert others() == set()
        return found

    assert sorted(asyncio.run(run())) == list(range(pairs))


async def test_an_error_of_the_pairs_reaches_the_consumer_after_what_was_ready() -> None:
    world = World(5, broken={2: RuntimeError("broken pair")})
    results = pipeline(world.source(), world.work, 9)
    first = asyncio.ensure_future(anext(results))
    world.futures[0] = asyncio.get_running_loop().create_future()
    world.finish(0)
    assert await first == 0
    with pytest.raises(RuntimeError, match=r"^broken pair$"):
        await anext(results)
    assert world.cancelled == [1]
    assert others() == set()


@pytest.mark.usefixtures("no_complaints")
@pytest.mark.parametrize("errors", [1, 2])
async def test_an_error_of_the_work_reaches_the_consumer_and_cancels_the_rest(errors: int) -> None:
    world = World(9)
    first = asyncio.ensure_future(anext(pipeline(world.source(), world.work, 4)))
    await settle()
    for number in range(2, 2 + errors):
        world.futures[number].set_exception(KeyError("broken work"))
    with pytest.raises(KeyError, match="broken work"):
        await first
    assert sorted(world.cancelled) == [0, 1, 3][: 4 - errors]
    assert (world.read, others()) == (4, set())


@pytest.mark.usefixtures("no_complaints")
async def test_an_error_that_the_consumer_did_not_wait_for_is_forgotten() -> None:
    world = World(3)
    results = pipeline(world.source(), world.work, 3)
    first = asyncio.ensure_future(anext(results))
    await settle()
    world.finish(0)
    await first
    world.futures[1].set_exception(RuntimeError("nobody hears it"))
    await settle()
    await results.aclose()
    assert others() == set()


@pytest.mark.parametrize("ready", [0, 2])
async def test_closing_ends_everything(ready: int) -> None:
    world = World(50)
    results = pipeline(world.source(), world.work, 5)
    first = asyncio.ensure_future(anext(results))
    await settle()
    world.finish(*range(ready + 1))
    await first
    await results.aclose()
    assert sorted(world.cancelled) == list(range(ready + 1, 5))
    assert (world.read, others()) == (5, set())


async def test_pairs_that_never_come_can_be_closed() -> None:
    async def source() -> AsyncIterator[int]:
        await asyncio.get_running_loop().create_future()
        yield 0

    first = asyncio.ensure_future(anext(pipeline(source(), at_once, 3)))
    await settle()
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    await settle()
    assert others() == set()
