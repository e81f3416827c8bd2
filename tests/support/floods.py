"""What hostile clients send without end, each flood from a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import multiprocessing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from time import sleep
from typing import Any

import grpc

from spanqa.v1 import question_answering_pb2 as pb
from support.frames import ANSWER, STREAM, Frames, message
from support.steady import connected

BURST = 100
CALLS, STREAMS, BATCHES, BATCH = 500, 20, 20, 256
HALF_OPEN_CONNECTIONS, HALF_OPEN_CALLS = 20, 100
PLAIN = "The rain fell all day on the old lighthouse, and nobody came. "
SENTENCES, MANY_SENTENCES = 20, 800
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of a flood elsewhere."""

    begun: Event
    ended: Synchronized[int]
    """Calls, or pairs of streams, that the server has ended."""

    def count(self) -> None:
        with self.ended.get_lock():
            self.ended.value += 1


Flood = Callable[[str, Progress], None]


def resets(target: str, progress: Progress, ca: Path | None = None) -> None:
    """Calls that are ended as soon as they have begun (CVE-2023-44487), over one connection."""
    while True:
        with contextlib.suppress(OSError), contextlib.closing(Frames(target, ca)) as client:
            while not client.closed:
                for _ in range(BURST):
                    client.reset(client.open(ANSWER, body=message()))
                client.send()
                progress.begun.set()
                while client.read(within=0.0001):
                    pass


def half_open(target: str, progress: Progress) -> None:
    """Calls that never send their message, opened again where the server ends them."""
    clients: list[Frames] = []
    while True:
        clients = [one for one in clients if not one.closed]
        with contextlib.suppress(OSError):
            while len(clients) < HALF_OPEN_CONNECTIONS:
                clients.append(Frames(target))
        for at, client in enumerate(clients):
            while client.read(0.0001):
                pass
            for _ in range(HALF_OPEN_CALLS - client.open_calls):
                client.open(STREAM if at % 2 else ANSWER)
            client.send()
        progress.begun.set()
        sleep(PAUSE_SECONDS)


def long_request(number: int, sentences: int) -> pb.AnswerRequest:
    """A text that no cache knows."""
    return pb.AnswerRequest(question="Who came?", context=f"{number}. {PLAIN * sentences}")


async def call(stub: Any, number: int, progress: Progress) -> None:
    await stub.Answer(long_request(number, SENTENCES), timeout=60)
    progress.count()


async def batch(stub: Any, number: int, progress: Progress) -> None:
    pairs = [long_request(BATCH * number + at, SENTENCES) for at in range(BATCH)]
    await stub.BatchAnswer(pb.BatchAnswerRequest(requests=pairs), timeout=60)
    progress.count()


async def stream(stub: Any, number: int, progress: Progress) -> None:
    """Long texts, as many as the server takes."""

    async def pairs() -> AsyncIterator[pb.StreamAnswerRequest]:
        for at in itertools.count():
            request = long_request(1000 * number + at, MANY_SENTENCES)
            yield pb.StreamAnswerRequest(id=str(at), request=request)

    async for _ in stub.StreamAnswer(pairs(), timeout=120):
        progress.count()


Work = Callable[[Any, int, Progress], Awaitable[None]]


def many(does: Work, at_once: int, target: str, progress: Progress) -> None:
    """So many callers on one connection, each without a pause."""
    asyncio.run(repeat_all(does, at_once, target, progress))


async def repeat_all(does: Work, at_once: int, target: str, progress: Progress) -> None:
    async def repeat(stub: Any, first: int) -> None:
        for number in itertools.count(first, at_once):
            try:
                await does(stub, number, progress)
            except grpc.aio.AioRpcError:
                progress.count()
                await asyncio.sleep(PAUSE_SECONDS)

    progress.begun.set()
    async with connected(target, 1) as [stub]:
        await asyncio.gather(*(repeat(stub, first) for first in range(at_once)))


FLOODS: dict[str, Flood] = {
    f"{CALLS} calls": partial(many, call, CALLS),
    f"{STREAMS} streams": partial(many, stream, STREAMS),
    f"{BATCH}-pair batches": partial(many, batch, BATCHES),
    "resets": resets,
    "half-open streams": half_open,
}


@dataclass(frozen=True, slots=True)
class Flooding:
    """A flood that is under way."""

    pid: int
    progress: Progress


@contextlib.contextmanager
def beside(flood: Flood, target: str) -> Iterator[Flooding]:
    """The flood comes for as long as the block lasts."""
    context = multiprocessing.get_context("spawn")
    progress = Progress(context.Event(), context.Value("q", 0))
    process = context.Process(target=flood, args=(target, progress))
    process.start()
    try:
        assert process.pid
        assert progress.begun.wait(30), "the flood did not begin"
        yield Flooding(process.pid, progress)
        assert process.is_alive(), "the flood ended by itself"
    finally:
        process.kill()
        process.join()
        process.close()
