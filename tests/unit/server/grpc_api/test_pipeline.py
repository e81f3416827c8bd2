"""The pipeline: how much it reads, and in which order it gives."""

import asyncio
import random
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa_server.grpc_api.pipeline import pipeline
from unit.server.grpc_api.pipeline_world import World, others, settle


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


async def test_a_consumer_that_is_slow_stops_the_reading() -> None:
    world = World(100)
    async with aclosing(pipeline(world.source(), world.work, 4)) as results:
        first = asyncio.ensure_future(anext(results))
        await settle()
        world.finish(*range(4))
        await settle()
        assert (first.result(), world.read) == (0, 4)
        for taken in range(1, 4):
            assert await anext(results) == taken
            await settle()
            assert world.read == 4 + taken


async def test_results_come_as_they_are_ready() -> None:
    world = World(4)

    async def consume() -> list[int]:
        return [number async for number in pipeline(world.source(), world.work, 4)]

    consumer = asyncio.create_task(consume())
    for number in (2, 0, 3, 1):
        await settle()
        world.finish(number)
    assert await consumer == [2, 0, 3, 1]
    assert others() == set()


@pytest.mark.parametrize("at_once", [1, 5])
async def test_no_pairs(at_once: int) -> None:
    world = World(0)
    assert [number async for number in pipeline(world.source(), world.work, at_once)] == []
    assert others() == set()


async def test_many_pairs() -> None:
    under_way = most = 0
    dice = random.Random(5)

    async def work(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(dice.randrange(20)):
            await asyncio.sleep(0)
        under_way -= 1
        return number * 2

    results = [number async for number in pipeline(World(10_000).source(), work, 7)]
    assert sorted(results) == list(range(0, 20_000, 2))
    assert most == 7
    assert others() == set()


async def test_a_large_batch_lets_others_have_their_turn() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def work(number: int) -> int:
        return number

    neighbour = asyncio.create_task(other())
    async with aclosing(pipeline(World(1000).source(), work, 1000)) as results:
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

    async def work(number: int) -> int:
        for _ in range(dice.randrange(6)):
            await asyncio.sleep(0)
        return number

    async def run() -> list[int]:
        return [number async for number in pipeline(World(pairs).source(), work, at_once)]

    assert sorted(asyncio.run(run())) == list(range(pairs))
