"""The pipeline's end, early or not: errors reach the consumer, and nothing stays behind."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress

import pytest

from spanqa_server.grpc_api.pipeline import pipeline
from unit.server.grpc_api.pipeline_world import World, others, settle


@pytest.fixture
def no_complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """asyncio has nothing to complain about, such as an error that nobody looked at."""
    yield
    gc.collect()
    assert [*caplog.get_records("call"), *caplog.records] == []


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
    with pytest.raises(StopAsyncIteration):
        await anext(results)


async def test_an_error_of_the_work_reaches_the_consumer_and_cancels_the_rest() -> None:
    world = World(9)
    results = pipeline(world.source(), world.work, 4)
    first = asyncio.ensure_future(anext(results))
    await settle()
    world.futures[2].set_exception(KeyError("broken work"))
    with pytest.raises(KeyError, match="broken work"):
        await first
    assert sorted(world.cancelled) == [0, 1, 3]
    assert (world.read, others()) == (4, set())


@pytest.mark.usefixtures("no_complaints")
async def test_of_two_errors_one_reaches_the_consumer() -> None:
    world = World(9)
    first = asyncio.ensure_future(anext(pipeline(world.source(), world.work, 4)))
    await settle()
    world.futures[2].set_exception(KeyError("one"))
    world.futures[3].set_exception(KeyError("other"))
    with pytest.raises(KeyError, match=r"one|other"):
        await first
    assert others() == set()


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


async def test_a_cancelled_consumer_ends_everything() -> None:
    world = World(50)

    async def consume() -> None:
        async with aclosing(pipeline(world.source(), world.work, 5)) as results:
            async for _ in results:
                pass

    consumer = asyncio.create_task(consume())
    await settle()
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert sorted(world.cancelled) == list(range(5))
    assert others() == set()


async def test_pairs_that_never_come_can_be_closed() -> None:
    async def source() -> AsyncIterator[int]:
        await asyncio.get_running_loop().create_future()
        yield 0

    async def work(number: int) -> int:
        return number

    results = pipeline(source(), work, 3)
    first = asyncio.ensure_future(anext(results))
    await settle()
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    await settle()
    assert others() == set()
