"""Few messages are received at a time, callers share, and none is waited for long."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from spanqa_server.scheduling.intake import (
    AT_ONCE,
    FLOOD_PATIENCE,
    FLOOD_SECONDS,
    LARGE,
    LATE_SECONDS,
    OF_LATE,
    OF_ONE,
    PATIENCE,
    SHORTEST,
    Intake,
    Reading,
)
from unit.server.scheduling.clock import Clock


class Stage:
    """An intake, and those who wait there."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.intake = Intake(self.clock)
        self.waiting: list[asyncio.Task[Reading]] = []

    async def begin(self, caller: str, *, prompt: bool = True) -> Reading | None:
        """None: it waits."""
        task = asyncio.create_task(self.intake.begin(caller, prompt=prompt))
        await asyncio.sleep(0)
        if task.done():
            return task.result()
        self.waiting.append(task)
        return None

    async def begin_many(self, caller: str, count: int, *, prompt: bool = True) -> list[Reading]:
        """Those that may begin at once."""
        begun = [await self.begin(caller, prompt=prompt) for _ in range(count)]
        return [reading for reading in begun if reading]

    async def let_in(self) -> list[str]:
        """The callers of those that have waited, and may begin now."""
        for _ in range(5):
            await asyncio.sleep(0)
        done = [task for task in self.waiting if task.done()]
        self.waiting = [task for task in self.waiting if not task.done()]
        return [task.result().caller for task in done]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    for task in made.waiting:
        task.cancel()
    await asyncio.gather(*made.waiting, return_exceptions=True)


async def test_one_caller_leaves_room_for_others(stage: Stage) -> None:
    assert len(await stage.begin_many("a", 100)) == OF_ONE
    assert len(await stage.begin_many("b", 100)) == OF_ONE
    assert await stage.begin("c") is None
    assert AT_ONCE == 2 * OF_ONE


async def test_callers_take_turns(stage: Stage) -> None:
    first = await stage.begin_many("a", 20)
    second = await stage.begin_many("b", 20)
    assert await stage.begin("c") is None
    for reading in (first[0], first[1], second[0]):
        stage.intake.end(reading, 10)
    assert sorted(await stage.let_in()) == ["a", "b", "c"]


async def test_nobody_waits_long_for_a_message_that_does_not_come(stage: Stage) -> None:
    held = await stage.begin_many("a", 10)
    stage.clock.now += PATIENCE / 2
    assert await stage.begin("a") is None
    stage.clock.now += PATIENCE
    await stage.begin_many("b", 1)
    assert (await stage.let_in()).count("a") == OF_ONE
    assert all(reading.late for reading in held)
    for reading in held:  # what comes late after all changes nothing
        stage.intake.end(reading, 10)
    assert await stage.begin("a") is None


async def test_callers_whose_messages_do_not_come_leave_room_for_others(stage: Stage) -> None:
    for number in range(20):
        await stage.begin_many(f"silent {number}", 10)
    for _ in range(6):
        stage.clock.now += PATIENCE
        await stage.begin("silent 0")
        await stage.let_in()
    assert len(stage.intake._readings) == OF_LATE
    for caller in ("new", "other"):
        assert len(await stage.begin_many(caller, OF_ONE // 2)) == OF_ONE // 2
    stage.clock.now += LATE_SECONDS
    assert await stage.begin("silent 0") is None
    await stage.let_in()
    assert len(stage.intake._readings) > OF_LATE, "it is forgotten"


async def test_those_who_wait_before_they_send_are_not_late(stage: Stage) -> None:
    await stage.begin_many("stream", 10, prompt=False)
    stage.clock.now += PATIENCE
    assert len(await stage.begin_many("silent", 10)) <= OF_ONE
    assert (await stage.let_in()).count("stream") == OF_ONE
    stage.clock.now += PATIENCE
    assert await stage.begin("silent") is None
    assert "stream" in await stage.let_in()
    assert len(stage.intake._late_until) == 1


async def test_the_turn_comes_without_news_from_anyone() -> None:
    intake = Intake(asyncio.get_running_loop().time)
    intake._patience = SHORTEST
    for _ in range(OF_ONE):
        await intake.begin("a", prompt=True)
    async with asyncio.timeout(20):
        assert (await intake.begin("a", prompt=True)).caller == "a"


async def test_in_a_flood_a_caller_receives_one_message_at_a_time(stage: Stage) -> None:
    [first] = await stage.begin_many("a", 1)
    stage.intake.end(first, LARGE + 1)
    assert stage.intake.patience == FLOOD_PATIENCE
    assert len(await stage.begin_many("a", 3)) == 1
    assert len(await stage.begin_many("b", 3)) == 1
    stage.clock.now += FLOOD_SECONDS
    assert stage.intake.patience == PATIENCE
    assert len(await stage.begin_many("c", 10)) == OF_ONE


async def test_small_messages_that_are_late_end_the_patience(stage: Stage) -> None:
    [large] = await stage.begin_many("a", 1)
    stage.intake.end(large, LARGE + 1)
    for _ in range(5):
        [slow] = await stage.begin_many("a", 1)
        await stage.begin_many("a", OF_ONE)
        stage.clock.now += 2 * FLOOD_PATIENCE
        await stage.begin("b")
        await stage.let_in()
        assert slow.late
        stage.intake.end(slow, 10)
        assert not stage.intake.flooded
        while stage.intake._readings:
            for reading in list(stage.intake._readings):
                stage.intake.end(reading, 10)
            await stage.let_in()
    assert stage.intake.patience == SHORTEST


async def test_those_who_give_up_leave_nothing(stage: Stage) -> None:
    held = await stage.begin_many("a", OF_ONE + 2)
    for task in stage.waiting:
        task.cancel()
    await asyncio.gather(*stage.waiting, return_exceptions=True)
    late = asyncio.create_task(stage.intake.begin("a", prompt=True))
    await asyncio.sleep(0)
    stage.intake.end(held.pop(), 10)
    late.cancel()  # as its turn comes
    with pytest.raises(asyncio.CancelledError):
        await late
    for reading in held:
        stage.intake.end(reading, 10)
    assert not stage.intake._readings
    assert not stage.intake._of_callers
    assert len(await stage.begin_many("a", OF_ONE)) == OF_ONE
