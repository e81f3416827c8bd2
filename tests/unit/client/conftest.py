"""A fake server on a free port, and both clients behind one interface that blocks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import grpc
import pytest

import spanqa
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import FakeService, Handler, running, until_gone


class Blocking:
    """Calls the methods of an ``AsyncClient`` in its event loop, which runs in another thread."""

    def __init__(self, client: spanqa.AsyncClient) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self._wait(method(*args, **kwargs))

    def answer_stream(self, pairs: Any, **kwargs: Any) -> Iterator[spanqa.StreamItem]:
        return self._items(self._client.answer_stream(pairs, **kwargs))

    def _items(self, stream: Any) -> Iterator[spanqa.StreamItem]:
        async def following() -> spanqa.StreamItem | None:
            return await anext(stream, None)

        while (item := self._wait(following())) is not None:
            yield item

    def _wait(self, awaitable: Awaitable[Any]) -> Any:
        async def outcome() -> tuple[Any, BaseException | None]:
            try:
                return await awaitable, None
            except BaseException as error:  # a future would change a CancelledError
                return None, error

        result, error = asyncio.run_coroutine_threadsafe(outcome(), self._loop).result()
        if error is not None:
            raise error
        return result


@contextmanager
def blocking_async_client(target: str, **arguments: Any) -> Iterator[Blocking]:
    made: Future[Blocking] = Future()
    over = asyncio.Event()

    async def run() -> None:
        async with spanqa.AsyncClient(target, **arguments) as client:
            made.set_result(Blocking(client))
            await over.wait()

    with ThreadPoolExecutor(1) as executor:
        ended = executor.submit(asyncio.run, run())
        client = made.result(timeout=20)
        try:
            yield client
        finally:
            client._loop.call_soon_threadsafe(over.set)
            ended.result(timeout=20)


Connect = Callable[..., Any]
KINDS: dict[str, Callable[..., AbstractContextManager[Any]]] = {
    "Client": spanqa.Client,
    "AsyncClient": blocking_async_client,
}


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A running server; change its ``answer`` and other parts to provoke faults."""
    with running(FakeService()) as fake:
        yield fake


@pytest.fixture(params=KINDS)
def connect(request: pytest.FixtureRequest, service: FakeService) -> Iterator[Connect]:
    """Makes a client of either kind, by default of the running server."""
    with ExitStack() as stack:

        def make(target: str = "", **arguments: Any) -> Any:
            kind = KINDS[request.param]
            return stack.enter_context(kind(target or service.target, **arguments))

        yield make


@pytest.fixture
def client(connect: Connect) -> Any:
    """A client of either kind."""
    return connect()


@pytest.fixture
def never_answers() -> Handler:
    """A handler that holds each call until its caller has gone."""

    def wait(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        until_gone(context)
        return pb.AnswerResponse()

    return wait


@pytest.fixture
def dead_target() -> Iterator[str]:
    """An address where nothing listens: bound, so nobody else can take it meanwhile."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"
