"""A real gRPC server on a free port, and both clients behind one way of calling them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

import spanqa
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import Call, FakeService, Handler, Read, running, until_gone


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A running server; change its ``answer`` and other parts to provoke faults."""
    with running(FakeService()) as fake:
        yield fake


def call_sync(method: str, *args: object, client: dict[str, Any], **kwargs: object) -> Any:
    with spanqa.Client(**client) as made:
        return getattr(made, method)(*args, **kwargs)


def call_async(method: str, *args: object, client: dict[str, Any], **kwargs: object) -> Any:
    async def run() -> Any:
        async with spanqa.AsyncClient(**client) as made:
            return await getattr(made, method)(*args, **kwargs)

    return asyncio.run(run())


@pytest.fixture(params=[call_sync, call_async], ids=["Client", "AsyncClient"])
def call(request: pytest.FixtureRequest, service: FakeService) -> Call:
    """Calls a method of a new client of the running server."""

    def run(
        method: str, *args: object, client: dict[str, Any] | None = None, **kwargs: object
    ) -> Any:
        options = {"target": service.target, **(client or {})}
        return request.param(method, *args, client=options, **kwargs)

    return run


def read_sync(
    target: str,
    pairs: Any,
    on_item: Callable[[Any], object],
    over: threading.Event | None,
    client: Any,
    **kwargs: Any,
) -> None:
    with spanqa.Client(target, **client) as made:
        try:
            for item in made.answer_stream(pairs, **kwargs):
                if on_item(item) == "stop":
                    break
        finally:
            assert over is None or over.wait(20)


def read_async(
    target: str,
    pairs: Any,
    on_item: Callable[[Any], object],
    over: threading.Event | None,
    client: Any,
    **kwargs: Any,
) -> None:
    async def run() -> None:
        async with spanqa.AsyncClient(target, **client) as made:
            try:
                async for item in made.answer_stream(pairs, **kwargs):
                    if on_item(item) == "stop":
                        break
            finally:
                assert over is None or await asyncio.to_thread(over.wait, 20)

    asyncio.run(run())


@pytest.fixture(params=[read_sync, read_async], ids=["Client", "AsyncClient"])
def read(request: pytest.FixtureRequest, service: FakeService) -> Read:
    def run(
        pairs: object,
        on_item: Callable[[Any], object] = lambda item: None,
        over: threading.Event | None = None,
        client: Any = None,
        **kwargs: Any,
    ) -> None:
        request.param(service.target, pairs, on_item, over, client or {}, **kwargs)

    return run


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
