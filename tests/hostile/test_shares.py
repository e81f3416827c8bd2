"""A client that sends all that it can leaves another, with one call at a time, its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from statistics import median
from time import monotonic
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from support.processes import RunningServer
from support.steady import connected

REQUEST = pb.AnswerRequest(
    question="Where was Curie born?", context="Marie Curie was born in Warsaw in 1867."
)
PLAIN = "The rain fell all day on the old lighthouse, and nobody came. "
CALLS, TIMEOUT = 20, 20.0

Hostile = Callable[[Any, int], Awaitable[None]]


def long_request(number: int, sentences: int) -> pb.AnswerRequest:
    """A text that no cache knows."""
    return pb.AnswerRequest(question="Who came?", context=f"{number}. {PLAIN * sentences}")


async def call(stub: Any, number: int) -> None:
    await stub.Answer(long_request(number, 20), timeout=60)


async def batch(stub: Any, number: int) -> None:
    pairs = [long_request(256 * number + at, 20) for at in range(256)]
    await stub.BatchAnswer(pb.BatchAnswerRequest(requests=pairs), timeout=60)


async def stream(stub: Any, number: int) -> None:
    """Long texts, as many as the server takes."""

    async def pairs() -> AsyncIterator[pb.StreamAnswerRequest]:
        for at in range(100_000):
            request = long_request(1000 * number + at, 800)
            yield pb.StreamAnswerRequest(id=str(at), request=request)

    async for _ in stub.StreamAnswer(pairs(), timeout=120):
        pass


@asynccontextmanager
async def hostile(does: Hostile, at_once: int, target: str) -> AsyncIterator[None]:
    """So many callers on one connection, each without a pause, and all at work by now."""
    begun = asyncio.Event()

    async def repeat(stub: Any, first: int) -> None:
        number = first
        while True:
            number += at_once
            try:
                await does(stub, number)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)
            begun.set()

    async with connected(target, 1) as [stub]:
        tasks = [asyncio.create_task(repeat(stub, first)) for first in range(at_once)]
        try:
            await asyncio.wait([asyncio.create_task(begun.wait())], timeout=3)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def one_by_one(ask: Hostile, target: str) -> tuple[list[str], float]:
    """How calls of a client with one at a time ended, and the seconds of the middle one."""
    codes, seconds = [], []
    async with connected(target, 1) as [stub]:
        for number in range(CALLS):
            begin = monotonic()
            try:
                await ask(stub, number)
                codes.append("OK")
            except grpc.aio.AioRpcError as error:
                codes.append(error.code().name)
            seconds.append(monotonic() - begin)
    return codes, median(seconds)


async def ask_call(stub: Any, number: int) -> None:
    await stub.Answer(REQUEST, timeout=TIMEOUT)


async def ask_batch(stub: Any, number: int) -> None:
    response = await stub.BatchAnswer(pb.BatchAnswerRequest(requests=[REQUEST]), timeout=TIMEOUT)
    [item] = response.items
    if item.HasField("error"):
        raise failed(item.error.code)


def failed(code: int) -> grpc.aio.AioRpcError:
    """As a call would have failed."""
    [status] = [one for one in grpc.StatusCode if one.value[0] == code]
    empty = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(status, empty, empty)


@pytest.mark.parametrize(
    ("does", "at_once", "ask"),
    [(call, 500, ask_call), (batch, 20, ask_call), (stream, 20, ask_batch)],
)
async def test_one_client_does_not_starve_another(
    does: Hostile, at_once: int, ask: Hostile, server: RunningServer, say: Callable[[str], None]
) -> None:
    _, alone = await one_by_one(ask, server.target)
    async with hostile(does, at_once, server.target):
        codes, beside = await one_by_one(ask, server.target)
    say(
        f"{ask.__name__} beside {at_once} of {does.__name__}: {codes.count('OK')} of {CALLS}, "
        f"{beside:.3f} s each (alone {alone:.3f} s)"
    )
    assert codes.count("OK") >= 0.95 * CALLS, codes
    await asyncio.to_thread(server.wait_until_idle, 60)
