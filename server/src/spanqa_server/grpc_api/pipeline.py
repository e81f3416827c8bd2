"""Several pairs of one call at a time: bounded work, results as they are ready."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import TypeVar

P = TypeVar("P")
R = TypeVar("R")


async def pipeline(
    pairs: AsyncIterable[P], work: Callable[[P], Awaitable[R]], at_once: int
) -> AsyncGenerator[R, None]:
    """Yield the results of `work` on each pair, in the order in which they are ready.

    At most `at_once` pairs have been read whose results the consumer has not taken: where it
    is slow, or work is, no further pair is read. Close the iterator to end the work under way.
    What `pairs` or `work` raise ends the pipeline.
    """
    slots = asyncio.Semaphore(at_once)
    results: asyncio.Queue[R | None] = asyncio.Queue()

    async def work_on(pair: P) -> None:
        results.put_nowait(await work(pair))

    async def read() -> None:
        async with asyncio.TaskGroup() as group:
            await slots.acquire()
            async for pair in pairs:
                group.create_task(work_on(pair))
                # One pair a turn of the loop: a large batch must not hold up other calls.
                await asyncio.sleep(0)
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
