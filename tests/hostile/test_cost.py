"""Small messages that would cost much: refused before they do, and nobody else notices."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import refused, violations
from support.bombs import HEAVY, LONGEST_ID, REFUSED, Bomb
from support.callers import OK, Callers
from support.processes import RunningServer, poll, running_server

SERVICE = "/spanqa.v1.QuestionAnsweringService/"
MOST_BYTES, KEPT_BYTES = 512_000_000, 64 << 20
CALLS = 60
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


@pytest.fixture(scope="module")
def server(
    tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("cost") / "server.log"
    with running_server(tiny_repository, log) as running:
        yield running


@dataclass
class Memory:
    """What a process takes, looked at all the time."""

    process: psutil.Process
    most: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def now(self) -> int:
        size: int = self.process.memory_info().rss
        return size

    @contextmanager
    def watched(self) -> Iterator[None]:
        """`most` is the most that it took within the block."""
        thread = threading.Thread(target=self._watch)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_cost_much_is_refused_by_the_name_of_its_field(
    server: RunningServer, case: str
) -> None:
    bomb = REFUSED[case]
    with grpc.insecure_channel(server.target, OPTIONS, grpc.Compression.Gzip) as channel:
        call: Any = channel.unary_unary(SERVICE + bomb.method)
        status = refused(lambda: call(bomb.raw, timeout=1e6))
    assert list(violations(status)) == [bomb.field]


async def test_sixty_such_calls_take_no_memory_and_no_time_of_others(
    server: RunningServer,
) -> None:
    memory = Memory(psutil.Process(server.process.pid))
    before = memory.now
    bombs = [*REFUSED.values(), HEAVY]
    with memory.watched():
        async with Callers(server.target, count=1).running() as neighbour:
            codes = await asyncio.gather(
                *[send(server.target, bombs[number % len(bombs)]) for number in range(CALLS)]
            )
    assert set(codes) <= {"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "OK"}
    assert codes.count("INVALID_ARGUMENT") >= CALLS // 2
    assert memory.most <= MOST_BYTES
    assert {call.code for call in neighbour.calls} == {OK}
    await asyncio.to_thread(poll, lambda: memory.now <= before + KEPT_BYTES, 60, "memory is back")
    assert "Traceback" not in server.log.read_text()


async def test_pairs_of_a_stream_are_refused_one_by_one(server: RunningServer) -> None:
    memory = Memory(psutil.Process(server.process.pid))
    with memory.watched():
        for fields in await asyncio.gather(*[send_pairs(server.target) for _ in range(8)]):
            assert fields == {"1": ["request.context"], "x" * LONGEST_ID: ["id"], "3": []}
    assert memory.most <= MOST_BYTES


async def send(target: str, bomb: Bomb) -> str:
    """The code that it ends with; of long work, a part will do."""
    async with connected(target) as channel:
        call: Any = channel.unary_unary(SERVICE + bomb.method)
        try:
            await call(bomb.raw, timeout=10 if bomb is HEAVY else 60)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return OK


async def send_pairs(target: str) -> dict[str, list[str]]:
    """The fields that a stream's answers name, by the pairs' ids."""
    good = pb.AnswerRequest(question="who ?", context="the light keeper")
    bad = pb.AnswerRequest(question="who ?", context="\0" * (12 << 20))

    async def pairs() -> AsyncIterator[pb.StreamAnswerRequest]:
        for name, request in (("1", bad), ("x" * (LONGEST_ID + 1), good), ("3", good)):
            yield pb.StreamAnswerRequest(id=name, request=request)

    async with connected(target) as channel:
        stub: Any = QuestionAnsweringServiceStub(channel)
        return {
            item.id: list(violations(item.error)) if item.HasField("error") else []
            async for item in stub.StreamAnswer(pairs(), timeout=60)
        }


def connected(target: str) -> grpc.aio.Channel:
    """What is sent over it is small on the wire."""
    return grpc.aio.insecure_channel(target, OPTIONS, grpc.Compression.Gzip)
