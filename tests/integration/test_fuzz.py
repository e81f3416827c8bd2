"""Any bytes at the socket, at every method: a clear status, and the next call is answered."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from time import monotonic
from typing import Any

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.fuzz import REQUESTS, byte_strings
from support.processes import RunningServer

CALLERS, CALL_SECONDS = 32, 60.0
SERVICE = "/spanqa.v1.QuestionAnsweringService/"
# A message of ours is not nested so deeply that a parser would give up for that.
DOCUMENTED = {"OK", "INVALID_ARGUMENT"}
# Some requests have thousands of windows, each as much work as a small call: two such may be too
# much at a time. Pairs of batches and streams wait instead.
MANY_WINDOWS = {"Answer", "AnswerFromDocuments", "ComputeLogits"}
STREAM = "StreamAnswer"
NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


class Attack:
    """Sends byte strings from several callers, and counts what came back."""

    def __init__(self, channel: grpc.aio.Channel, strings: Iterator[tuple[str, bytes]]) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.sent = 0
        self._strings = strings
        self._unary: dict[str, Any] = {
            name: channel.unary_unary(SERVICE + name) for name in REQUESTS if name != STREAM
        }
        self._stream: Any = channel.stream_stream(SERVICE + STREAM)

    async def run(self, count: int) -> None:
        strings = islice(self._strings, count)
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._call(strings))

    async def _call(self, strings: Iterator[tuple[str, bytes]]) -> None:
        entries: list[bytes] = []
        for method, raw in strings:
            self.sent += 1
            if method != STREAM:
                await self._call_unary(method, raw)
                continue
            entries.append(raw)
            if len(entries) == 2:
                await self._call_stream(entries)
                entries = []
        await self._call_stream(entries)

    async def _call_unary(self, method: str, raw: bytes) -> None:
        try:
            await self._unary[method](raw, timeout=CALL_SECONDS)
            self.outcomes[method, "OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.outcomes[method, error.code().name] += 1

    async def _call_stream(self, entries: list[bytes]) -> None:
        try:
            async for raw in self._stream(iter(entries), timeout=CALL_SECONDS):
                item = pb.StreamAnswerResponse.FromString(raw)
                self.outcomes[STREAM, NAMES[item.error.code]] += 1
        except grpc.aio.AioRpcError as error:
            # grpc.aio puts a status of its own in the place of the server's where a write fails
            # as the call ends (grpc/grpc#36066); the server's metrics have the true one.
            if error.details() != "Internal error from Core":
                self.outcomes[STREAM, error.code().name] += 1


def assert_every_method_answers(target: str) -> None:
    good = pb.AnswerRequest(question="Where was she born?", context="She was born in Warsaw.")
    with grpc.insecure_channel(target) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        assert stub.Answer(good, timeout=30).answers
        batch = stub.BatchAnswer(pb.BatchAnswerRequest(requests=[good, good]), timeout=30)
        assert all(item.response.answers for item in batch.items)
        entry = pb.StreamAnswerRequest(id="1", request=good)
        [streamed] = stub.StreamAnswer(iter([entry]), timeout=30)
        assert streamed.response.answers
        documents = pb.AnswerFromDocumentsRequest(
            question=good.question, documents=[pb.Document(text=good.context)]
        )
        assert stub.AnswerFromDocuments(documents, timeout=30).answers
        raw = pb.ComputeLogitsRequest(question=good.question, context=good.context)
        assert stub.ComputeLogits(raw, timeout=30).windows
        assert stub.GetModel(pb.GetModelRequest(), timeout=30).version


async def attack(server: RunningServer, seed: int, rounds: int, a_round: int) -> list[int]:
    """Returns the frontend's resident bytes after each round."""
    process, sizes = psutil.Process(server.process.pid), []
    async with grpc.aio.insecure_channel(server.target) as channel:
        attacker = Attack(channel, byte_strings(seed, rounds * a_round))
        for _ in range(rounds):
            await attacker.run(a_round)
            sizes.append(process.memory_info().rss)
    assert attacker.sent == rounds * a_round
    by_method = {name: Counter[str]() for name in REQUESTS}
    for (method, code), count in attacker.outcomes.items():
        by_method[method][code] += count
    for method, codes in by_method.items():
        refused = {"RESOURCE_EXHAUSTED"} if method in MANY_WINDOWS else set()
        assert set(codes) <= DOCUMENTED | refused, f"{method}: {codes}"
        assert codes["RESOURCE_EXHAUSTED"] < codes.total() / 20, f"{method}: {codes}"
        assert codes["OK"] > 0, f"{method}: nothing of it got through"
        assert codes["INVALID_ARGUMENT"] > 0, f"{method}: nothing of it was refused"
    metrics = server.wait_until_idle(within=10)
    given = {
        code
        for name in metrics
        for code in re.findall(r'^spanqa_(?:calls|items)_total{.*code="(\w+)"', name)
    }
    assert given <= DOCUMENTED | {"CANCELLED", "RESOURCE_EXHAUSTED"}
    assert_every_method_answers(server.target)
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log
    return sizes


async def test_two_thousand_byte_strings(server: RunningServer) -> None:
    await attack(server, seed=1, rounds=1, a_round=2_000)


@pytest.mark.slow
async def test_a_hundred_thousand_byte_strings(
    tiny_server: RunningServer, say: Callable[[str], None]
) -> None:
    rounds, a_round, grown_bound = 10, 10_000, 20 << 20
    begin = monotonic()
    sizes = await attack(tiny_server, seed=2, rounds=rounds, a_round=a_round)
    megabytes = [round(size / 2**20) for size in sizes]
    say(
        f"{rounds * a_round:,} byte strings in {monotonic() - begin:.0f} s; "
        f"MB of the server after each {a_round:,}: {megabytes}"
    )
    assert max(sizes) - sizes[1] <= grown_bound
