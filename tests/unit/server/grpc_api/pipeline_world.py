"""A source of pairs, and work on them that ends when a test says so."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field


@dataclass
class World:
    """Pairs to read, and work on them that ends when a test says so."""

    pairs: int
    read: int = 0
    begun: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    broken: dict[int, Exception] = field(default_factory=dict)
    futures: dict[int, asyncio.Future[int]] = field(default_factory=dict)

    async def source(self) -> AsyncIterator[int]:
        for number in range(self.pairs):
            self.read += 1
            if error := self.broken.get(number):
                raise error
            yield number

    async def work(self, number: int) -> int:
        self.begun.append(number)
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
