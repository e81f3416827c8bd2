"""Callers of a service, and the CPU time of processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from typing import Any

import grpc
import psutil

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub

TIMEOUT_SECONDS = 600.0


@asynccontextmanager
async def connected(target: str, connections: int) -> AsyncIterator[list[Any]]:
    """A stub for each of several connections to a server."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(target, options))
            for _ in range(connections)
        ]
        yield [QuestionAnsweringServiceStub(channel) for channel in channels]


async def ask_all(
    target: str, requests: list[pb.AnswerRequest], concurrency: int, connections: int = 1
) -> tuple[int, list[float]]:
    """Ask everything once; windows of all requests, and the seconds that each took."""
    left, windows, latencies = iter(requests), 0, []

    async def caller(stub: Any) -> None:
        nonlocal windows
        for request in left:
            begin = perf_counter()
            response = await stub.Answer(request, timeout=TIMEOUT_SECONDS)
            latencies.append(perf_counter() - begin)
            windows += response.usage.windows

    async with connected(target, connections) as stubs, asyncio.TaskGroup() as group:
        for number in range(concurrency):
            group.create_task(caller(stubs[number % connections]))
    return windows, latencies


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of processes so far."""
    return sum(times.user + times.system for times in (one.cpu_times() for one in processes))
