"""Callers who wait for their answers, and the CPU time of processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from time import perf_counter
from typing import TypeVar

import psutil

from spanqa.v1 import question_answering_pb2 as pb
from support.steady import connected

TIMEOUT_SECONDS = 600.0
Request = TypeVar("Request")
Response = TypeVar("Response")


async def call_all(
    requests: Iterable[Request], callers: Sequence[Callable[[Request], Awaitable[Response]]]
) -> list[tuple[Response, float]]:
    """Each caller takes the next request when it is done; responses, and seconds of each."""
    left = iter(requests)
    done: list[tuple[Response, float]] = []

    async def keep_calling(call: Callable[[Request], Awaitable[Response]]) -> None:
        for request in left:
            begin = perf_counter()
            response = await call(request)
            done.append((response, perf_counter() - begin))

    async with asyncio.TaskGroup() as group:
        for call in callers:
            group.create_task(keep_calling(call))
    return done


async def ask_all(
    target: str, requests: list[pb.AnswerRequest], concurrency: int, connections: int = 1
) -> list[tuple[pb.AnswerResponse, float]]:
    """Ask a SpanQA server everything once; responses, and the seconds that each took."""
    async with connected(target, connections) as stubs:
        calls = [partial(stub.Answer, timeout=TIMEOUT_SECONDS) for stub in stubs]
        return await call_all(requests, [calls[at % connections] for at in range(concurrency)])


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time of processes so far."""
    return sum(times.user + times.system for times in (one.cpu_times() for one in processes))
