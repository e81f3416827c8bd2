"""Memory that callers share: what each gets, and who waits."""

import asyncio
from collections.abc import Iterable

import pytest

from spanqa_server.scheduling.shared_room import SharedRoom

CAPACITY = 100


class Crowd:
    """Work of callers, which holds its room until it is told to end."""

    def __init__(self) -> None:
        self.reported: list[float] = []
        self.room = SharedRoom(CAPACITY, self.reported.append)
        self.began: list[str] = []
        self.ends: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, caller: str, *sizes: int) -> None:
        """Work of these sizes comes."""
        for size in sizes:
            self.ends.append(asyncio.Event())
            self.tasks.append(asyncio.create_task(self._hold(caller, size, self.ends[-1])))
        await settled()

    async def _hold(self, caller: str, size: int, end: asyncio.Event) -> None:
        async with self.room.hold(caller, size):
            self.began.append(caller)
            await end.wait()

    async def end(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.ends[number].set()
        await settled()

    async def end_all(self) -> None:
        await self.end(range(len(self.ends)))
        await asyncio.gather(*self.tasks)
        assert self.room.taken == 0
        assert self.reported[-1] == 0
        assert not self.room._holders


async def settled() -> None:
    """All that can run without news has run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_caller_leaves_room_for_the_next() -> None:
    crowd = Crowd()
    await crowd.come("a", *[10] * 20)
    assert crowd.began == ["a"] * 5
    await crowd.come("b", 10, 10)
    assert crowd.began == ["a"] * 5 + ["b"] * 2
    await crowd.end_all()


async def test_whoever_has_least_goes_first() -> None:
    crowd = Crowd()
    await crowd.come("a", 50, 40, 40)
    await crowd.come("b", 50)
    await crowd.come("c", 30)
    assert crowd.began == ["a", "b"]
    await crowd.end([0])
    assert crowd.began == ["a", "b", "a"]  # came first, and has nothing by now
    await crowd.end([3])
    assert crowd.began == ["a", "b", "a", "c"]
    await crowd.end_all()


async def test_work_larger_than_all_room_goes_alone_and_is_not_passed() -> None:
    crowd = Crowd()
    await crowd.come("a", 10)
    await crowd.come("b", 500)
    await crowd.come("c", 10)
    assert crowd.began == ["a"]
    await crowd.end([0])
    assert crowd.began == ["a", "b"]
    await crowd.end([1])
    assert crowd.began == ["a", "b", "c"]
    await crowd.end_all()


@pytest.mark.parametrize("gives_up", [1, 2])
async def test_work_that_gives_up_leaves_nothing(gives_up: int) -> None:
    crowd = Crowd()
    await crowd.come("a", 90)
    await crowd.come("b", 20)
    await crowd.come("c", 20)
    crowd.tasks[gives_up].cancel()
    await settled()
    await crowd.end([0])
    assert len(crowd.began) == 2
    crowd.tasks.pop(gives_up)
    await crowd.end_all()


async def test_work_cancelled_as_its_turn_comes_leaves_its_room() -> None:
    crowd = Crowd()
    await crowd.come("a", 90)
    await crowd.come("b", 20)
    crowd.ends[0].set()
    await asyncio.sleep(0)
    crowd.tasks[1].cancel()
    await settled()
    crowd.tasks.pop()
    await crowd.end_all()
