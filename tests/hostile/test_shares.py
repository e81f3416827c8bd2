"""A client that sends all that it can leaves another, with one call at a time, its answers.

How soon it gets them is measured by `make bench-neighbours`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median
from time import monotonic
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from support.floods import BATCH, CALLS, FLOODS, STREAMS, beside
from support.processes import RunningServer, poll
from support.steady import connected

REQUEST = pb.AnswerRequest(
    question="Where was Curie born?", context="Marie Curie was born in Warsaw in 1867."
)
ASKED, TIMEOUT = 20, 20.0
AT_TRITON = "spanqa_triton_tokens_in_flight"

Ask = Callable[[Any], Awaitable[None]]


async def one_by_one(ask: Ask, target: str) -> tuple[list[str], float]:
    """How calls of a client with one at a time ended, and the seconds of the middle one."""
    codes, seconds = [], []
    async with connected(target, 1) as [stub]:
        for _ in range(ASKED):
            begin = monotonic()
            try:
                await ask(stub)
                codes.append("OK")
            except grpc.aio.AioRpcError as error:
                codes.append(error.code().name)
            seconds.append(monotonic() - begin)
    return codes, median(seconds)


async def ask_call(stub: Any) -> None:
    await stub.Answer(REQUEST, timeout=TIMEOUT)


async def ask_batch(stub: Any) -> None:
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
    ("flood", "ask"),
    [
        (f"{CALLS} calls", ask_call),
        (f"{BATCH}-pair batches", ask_call),
        (f"{STREAMS} streams", ask_batch),
        ("half-open streams", ask_call),
    ],
)
async def test_one_client_does_not_starve_another(
    flood: str, ask: Ask, server: RunningServer, say: Callable[[str], None]
) -> None:
    _, alone = await one_by_one(ask, server.target)
    with beside(FLOODS[flood], server.target):
        codes, seconds = await one_by_one(ask, server.target)
    say(
        f"{ask.__name__} beside {flood}: {codes.count('OK')} of {ASKED}, "
        f"{seconds:.3f} s each (alone {alone:.3f} s)"
    )
    assert codes.count("OK") >= 0.95 * ASKED, codes
    await asyncio.to_thread(server.wait_until_idle, 60)


@pytest.mark.parametrize("flood", [f"{CALLS} calls", f"{BATCH}-pair batches"])
async def test_beside_others_a_flood_has_little_at_triton(
    flood: str, server: RunningServer
) -> None:
    with beside(FLOODS[flood], server.target):
        await asyncio.to_thread(poll, lambda: has_much_at_triton(server), 30, "it fills Triton")
        one = asyncio.create_task(one_after_the_other(server.target))
        try:
            await asyncio.to_thread(poll, lambda: not has_much_at_triton(server), 30, "it yields")
            for _ in range(20):
                assert not await asyncio.to_thread(has_much_at_triton, server)
        finally:
            one.cancel()
        await asyncio.to_thread(poll, lambda: has_much_at_triton(server), 30, "it fills it again")
    await asyncio.to_thread(server.wait_until_idle, 60)


async def one_after_the_other(target: str) -> None:
    async with connected(target, 1) as (stub,):
        while True:
            await stub.Answer(REQUEST, timeout=TIMEOUT)


def has_much_at_triton(server: RunningServer) -> bool:
    """More than the longest window, and the one caller's."""
    return server.metrics()[AT_TRITON] > 512
