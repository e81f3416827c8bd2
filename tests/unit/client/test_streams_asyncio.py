"""What only the asyncio client's streams do: async iterables, tasks, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
import pytest
import pytest_asyncio

import spanqa
from unit.client.fake_service import (
    FakeService,
    Requests,
    Responses,
    endless,
    never,
    stream_response,
)


@pytest_asyncio.fixture
async def client(service: FakeService) -> AsyncIterator[spanqa.AsyncClient]:
    async with spanqa.AsyncClient(service.target) as made:
        yield made


async def over(service: FakeService) -> bool:
    return await asyncio.to_thread(service.stream_over.wait, 20)


async def test_pairs_may_be_an_async_iterable_that_depends_on_items(
    client: spanqa.AsyncClient,
) -> None:
    follow_up: asyncio.Queue[str] = asyncio.Queue()
    follow_up.put_nowait("Ada")

    async def pairs() -> AsyncIterator[tuple[str, str]]:
        while context := await follow_up.get():
            yield "Who?", context

    seen: list[str] = []
    async for item in client.answer_stream(pairs()):
        assert isinstance(item.outcome, spanqa.AnswerResult)
        assert item.outcome.best is not None
        seen.append(item.outcome.best.text)
        follow_up.put_nowait(f"{seen[-1]}!" if len(seen) < 4 else "")
    assert seen == ["Ada", "Ada!", "Ada!!", "Ada!!!"]


async def test_closing_cancels_the_call_and_ends_the_iterable(
    client: spanqa.AsyncClient, service: FakeService
) -> None:
    ended: list[BaseException] = []

    async def pairs() -> AsyncIterator[tuple[str, str]]:
        yield "Who?", "Ada"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            ended.append(error)
            raise

    async with aclosing(client.answer_stream(pairs())) as stream:
        assert (await anext(stream)).index == 0
    assert len(ended) == 1
    assert await over(service)


async def test_what_an_async_iterable_raises_reaches_the_caller(
    client: spanqa.AsyncClient, service: FakeService
) -> None:
    error = LookupError("no more")

    async def pairs() -> AsyncIterator[tuple[str, str]]:
        yield "Who?", "Ada"
        raise error

    service.stream = never
    with pytest.raises(LookupError) as caught:
        await anext(client.answer_stream(pairs()))
    assert caught.value is error
    assert await over(service)


async def test_a_cancelled_task_cancels_its_stream(
    client: spanqa.AsyncClient, service: FakeService
) -> None:
    async def consume() -> None:
        async for _ in client.answer_stream(endless()):
            pass

    service.stream = never
    task = asyncio.create_task(consume())
    await asyncio.to_thread(service.asked.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await over(service)


async def test_a_timeout_of_asyncio_is_one(
    client: spanqa.AsyncClient, service: FakeService
) -> None:
    service.stream = never
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await anext(client.answer_stream(endless()))
    assert await over(service)


async def test_an_iterable_that_waits_does_not_hold_up_an_abort(
    client: spanqa.AsyncClient, service: FakeService
) -> None:
    async def pairs() -> AsyncIterator[tuple[str, str]]:
        yield "Who?", "Ada"
        await asyncio.Event().wait()

    def abort(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield stream_response(next(requests))
        context.abort(grpc.StatusCode.ABORTED, "no more")

    service.stream = abort
    stream = client.answer_stream(pairs())
    await anext(stream)
    with pytest.raises(spanqa.SpanQAError, match="ABORTED: no more"):
        await anext(stream)
    # No task is left behind that waits for more pairs.
    assert asyncio.all_tasks() == {asyncio.current_task()}
