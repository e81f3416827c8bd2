"""Versions come and go under load: no call fails, no version's tokens meet another's weights."""

import asyncio
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import BIN, running_server
from support.versions import copy_unloadable, export_other

REQUESTS, CONCURRENCY = 2000, 16
PEOPLE = ["Marie Curie", "Ada Lovelace", "Alan Turing", "Grace Hopper", "Emmy Noether"]
PAIRS = [
    pb.AnswerRequest(
        question=f"Where was {name} born?",
        context=f"{name} was born in {town} in {year}, and never saw OSTMARKSHIRE again.",
    )
    for name, town, year in zip(
        PEOPLE,
        ("Warsaw", "London", "Maida Vale", "New York", "Erlangen"),
        range(1867, 1872),
        strict=True,
    )
]


@pytest.fixture(scope="module")
def other_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_other(tmp_path_factory.mktemp("other"), 2)


@pytest.fixture
def repository(model_repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_repository, tmp_path / "repository")
    return tmp_path / "repository"


def place(version: Path, model: Path, number: str) -> Path:
    """Let a version appear all at once, as the exporter does."""
    staging = model.parent.with_name(f"staging-{number}")
    shutil.copytree(version, staging)
    return staging.rename(model / number)


def run_model(repository: Path, *arguments: str) -> None:
    """A command of `spanqa-model`."""
    command = [str(BIN / "spanqa-model"), *arguments, "--repository", str(repository)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def signature(response: pb.AnswerResponse) -> tuple[int, str, float]:
    """What tells versions apart: the tokenizer's count, the answer, and the weights' score."""
    [answer] = response.answers
    return response.usage.context_tokens, answer.text, round(answer.score, 2)


class Load:
    """Callers that never pause, and what they got."""

    def __init__(self, target: str) -> None:
        self.replies: list[tuple[int, pb.AnswerResponse]] = []
        self.failures: Counter[str] = Counter()
        self.came = asyncio.Condition()
        self._target = target
        self._stop = False

    async def call_on(self, stub: Any, first: int) -> None:
        number = first
        while not self._stop:
            number += 1
            pair = number % len(PAIRS)
            try:
                self.replies.append((pair, await stub.Answer(PAIRS[pair], timeout=30)))
            except grpc.aio.AioRpcError as error:
                self.failures[f"{error.code().name}: {error.details()}"] += 1
            async with self.came:
                self.came.notify_all()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        async with grpc.aio.insecure_channel(self._target) as channel, asyncio.TaskGroup() as group:
            stub = QuestionAnsweringServiceStub(channel)
            for first in range(CONCURRENCY):
                group.create_task(self.call_on(stub, first))
            try:
                yield self
            finally:
                self._stop = True

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60), self.came:
            await self.came.wait_for(condition)

    async def until_more(self, replies: int) -> None:
        """Wait for so many more replies."""
        wanted = len(self.replies) + replies
        await self.until(lambda: len(self.replies) >= wanted)

    async def until_version(self, number: str, replies: int) -> None:
        """Wait until so many replies in a row came from this version."""
        await self.until(
            lambda: (
                len(self.replies) >= replies
                and all(reply.model_version == number for _, reply in self.replies[-replies:])
            )
        )

    def signatures(self, version: str) -> dict[int, set[tuple[int, str, float]]]:
        found: dict[int, set[tuple[int, str, float]]] = {}
        for pair, reply in self.replies:
            if reply.model_version == version:
                found.setdefault(pair, set()).add(signature(reply))
        return found


async def test_a_version_appears_takes_over_and_is_withdrawn(
    repository: Path, other_version: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    model = repository / "bert_qa"
    with running_server(repository, tmp_path / "log") as server:
        async with Load(server.target).running() as load:
            await load.until_version("1", 200)
            place(other_version, model, "2")
            await load.until_version("2", 400)
            await asyncio.to_thread(run_model, repository, "withdraw", "2")
            await load.until_version("1", 400)
            await asyncio.to_thread(run_model, repository, "restore", "2")
            await load.until_version("2", 200)
            shutil.rmtree(model / "2")
            await load.until_version("1", 200)
            await load.until(lambda: len(load.replies) >= REQUESTS)
        counts = Counter(reply.model_version for _, reply in load.replies)
        say(
            f"{len(load.replies)} requests, versions {dict(counts)}, failures {dict(load.failures)}"
        )
        log = server.log.read_text()
    assert not load.failures
    assert set(counts) == {"1", "2"}
    # One signature for each pair and version, and never the same for both: a mixture of one
    # version's tokens and the other's weights would be a third.
    first, second = load.signatures("1"), load.signatures("2")
    assert all(len(seen) == 1 for seen in (*first.values(), *second.values()))
    assert set(first) == set(second) == set(range(len(PAIRS)))
    for pair in first:
        [(tokens, text, score)], [(other_tokens, _, other_score)] = first[pair], second[pair]
        assert tokens != other_tokens
        assert score != other_score
        assert text in PAIRS[pair].context
    assert "Traceback" not in log


@pytest.mark.slow
async def test_a_version_that_does_not_load_never_takes_traffic(
    repository: Path, other_version: Path, tmp_path: Path
) -> None:
    model = repository / "bert_qa"
    with running_server(repository, tmp_path / "log") as server:
        log = server.log.read_text
        async with Load(server.target).running() as load:
            await load.until_version("1", 50)
            copy_unloadable(model / "1", tmp_path / "staging").rename(model / "2")
            (model / "3").mkdir()  # empty: no manifest, no model
            await load.until(lambda: "bert_qa/2 is broken: Triton could not load it" in log())
            await load.until(lambda: "bert_qa/3 is broken: model.json" in log())
            await load.until_version("1", 100)
            place(other_version, model, "4")  # broken ones do not stand in its way
            await load.until_version("4", 50)
    assert not load.failures
    assert {reply.model_version for _, reply in load.replies} == {"1", "4"}


def test_a_restart_with_a_broken_newest_version_serves_the_older(
    repository: Path, tmp_path: Path
) -> None:
    model = repository / "bert_qa"
    copy_unloadable(model / "1", model / "2")
    with (
        running_server(repository, tmp_path / "log") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        reply = QuestionAnsweringServiceStub(channel).Answer(PAIRS[0], timeout=10)
        assert (reply.model_version, reply.answers[0].text) == ("1", "Warsaw")
        info = QuestionAnsweringServiceStub(channel).GetModel(pb.GetModelRequest(), timeout=10)
        assert info.version == "1"


@pytest.mark.slow
async def test_memory_stays_flat_over_reloads(
    repository: Path, other_version: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    model = repository / "bert_qa"
    place(other_version, model, "2")
    run_model(repository, "withdraw", "2")
    with running_server(repository, tmp_path / "log") as server:

        def resident() -> dict[str, int]:
            """MiB of the frontend, of Triton, and of the one model that it should hold."""
            stubs = [child for child in server.children() if "stub" in child.name()]
            processes = [psutil.Process(server.process.pid), server.triton(), *stubs]
            names = ["frontend", "triton", *("model" for _ in stubs)]
            return {
                name: process.memory_info().rss >> 20
                for name, process in zip(names, processes, strict=True)
            }

        async def unloaded() -> None:
            async with asyncio.timeout(30):
                while sum("stub" in child.name() for child in server.children()) > 1:
                    await load.until_more(10)

        seen = []
        async with Load(server.target).running() as load:
            await load.until_version("1", 50)
            for _ in range(6):
                await asyncio.to_thread(run_model, repository, "restore", "2")
                await load.until_version("2", 20)
                await asyncio.to_thread(run_model, repository, "withdraw", "2")
                await load.until_version("1", 20)
                await unloaded()
                seen.append(resident())
        say(f"MiB after each of {len(seen)} reloads: {seen}")
    assert not load.failures
    # Each version has a model process of its own, which ends with it.
    for process in ("frontend", "triton"):
        assert seen[-1][process] - seen[1][process] <= 10
