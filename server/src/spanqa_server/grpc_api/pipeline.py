"""Several pairs of one call at a time: bounded work, results as they are ready."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")


async def pipeline(
    pairs: AsyncIterable[P], work: Callable[[P, Callable[[], None]], Awaitable[R]], at_once: int
) -> AsyncGenerator[R, None]:
    """Yield the results of `work` on each pair, in the order in which they are ready.

    At most `at_once` pairs are under way: a pair counts from when it is read until the consumer
    takes its result, so a slow consumer holds back the reading. The next pair is read when `work`
    has called what it is given, since it has room for its pair, or is done. An error of `pairs` or
    `work` ends the pipeline. Close the iterator to end the work under way.
    """
    slots = asyncio.Semaphore(at_once)
    results: asyncio.Queue[R | None] = asyncio.Queue()

    async def work_on(pair: P, has_room: asyncio.Event) -> None:
        try:
            results.put_nowait(await work(pair, has_room.set))
        finally:
            has_room.set()

    async def read() -> None:
        async with asyncio.TaskGroup() as group:
            await slots.acquire()
            async for pair in pairs:
                has_room = asyncio.Event()
                group.create_task(work_on(pair, has_room))
                del pair  # while the next one is awaited, nobody needs this one
                # One pair a turn of the loop, too: a large batch must not hold up other calls.
                await has_room.wait()
                await slots.acquire()

    reader = asyncio.create_task(read())
    reader.add_done_callback(lambda _: results.put_nowait(None))
    try:
        while (result := await results.get()) is not None:
            yield result
            slots.release()
        reader.result()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        reader.cancel()
        await asyncio.wait([reader])
