"""Connections that break under a stream: the error is the call's, whatever fails first."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

import spanqa
from spanqa import _async_streams
from unit.client.fake_service import endless

SERVER = """
import threading
from unit.client.fake_service import FakeService, running
with running(FakeService()) as service:
    print(service.target, flush=True)
    threading.Event().wait()
"""


@pytest.fixture
def mortal() -> Iterator[subprocess.Popen[str]]:
    """A fake server in a process of its own, which may be killed; its target is on stdout."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process
        process.kill()


def test_a_server_that_dies_is_unavailable(mortal: subprocess.Popen[str]) -> None:
    assert mortal.stdout is not None
    with spanqa.Client(mortal.stdout.readline().strip()) as client:
        stream = client.answer_stream(endless())
        next(stream)
        mortal.kill()
        with pytest.raises(spanqa.UnavailableError):
            list(stream)


async def test_a_server_that_dies_is_unavailable_for_asyncio_too(
    mortal: subprocess.Popen[str],
) -> None:
    assert mortal.stdout is not None
    async with spanqa.AsyncClient(mortal.stdout.readline().strip()) as client:
        stream = client.answer_stream(endless())
        for _ in range(20):
            await anext(stream)
        (writer,) = (t for t in asyncio.all_tasks() if "_write" in str(t.get_coro()))
        mortal.kill()
        # The write fails while there are answers to read, and the status comes after these.
        await asyncio.wait([writer], timeout=20)
        assert writer.done()
        with pytest.raises(spanqa.UnavailableError):
            [item async for item in stream]


class LateStatus:
    """A call with the status of a failed write, until it has been asked twice."""

    def __init__(self, code: grpc.StatusCode, details: str, asked: int = 2) -> None:
        self.status = code, details
        self.left = asked

    async def code(self) -> grpc.StatusCode:
        return self.status[0]

    async def details(self) -> str:
        self.left -= 1
        return FAILED_WRITE if self.left >= 0 else self.status[1]

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata()

    trailing_metadata = initial_metadata


FAILED_WRITE = "Internal error from Core"
INTERNAL = grpc.aio.AioRpcError(
    grpc.StatusCode.INTERNAL, grpc.aio.Metadata(), grpc.aio.Metadata(), FAILED_WRITE
)


async def settled(call: LateStatus) -> grpc.RpcError | None:
    return await _async_streams._settled(cast(Any, call), INTERNAL)


async def test_a_failed_write_gives_way_to_the_status_of_the_call() -> None:
    error = await settled(LateStatus(grpc.StatusCode.UNAVAILABLE, "reset"))
    assert error is not None
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "reset")
    assert await settled(LateStatus(grpc.StatusCode.OK, "")) is None


async def test_a_failed_write_is_told_where_no_other_status_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_async_streams, "_SETTLING_STEPS", 2)
    error = await settled(LateStatus(grpc.StatusCode.INTERNAL, "", asked=99))
    assert error is not None
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, FAILED_WRITE)
