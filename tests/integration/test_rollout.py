"""Versions come and go under load: no call fails, no version's tokens meet another's weights."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support import bad_versions
from support.callers import REQUESTS, Callers
from support.processes import RunningServer, poll, run_model, running_server
from support.versions import export_other

NO_TORCHSCRIPT = next(bad for bad in bad_versions.BAD if "no TorchScript" in bad.told)


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


async def test_a_version_appears_takes_over_and_is_withdrawn(
    repository: Path, other_version: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    model, there = repository / "bert_qa", ("--repository", repository)
    with running_server(repository, tmp_path / "log") as server:
        async with Callers(server.target).running() as callers:
            await callers.answered(100, "1")
            place(other_version, model, "2")
            await callers.answered(200, "2")
            await asyncio.to_thread(run_model, "withdraw", "2", *there)
            await callers.answered(200, "1")
            await asyncio.to_thread(run_model, "restore", "2", *there)
            await callers.answered(100, "2")
            shutil.rmtree(model / "2")
            await callers.answered(100, "1")
        log = server.log.read_text()
    say(f"{len(callers.calls)} calls, versions {dict(callers.versions())}")
    assert not callers.failed()
    assert set(callers.versions()) == {"1", "2"}
    callers.assert_not_mixed("1", "2", exact=["1", "2"])
    assert "Traceback" not in log


async def test_a_worse_version_is_held_until_it_is_promoted(
    repository: Path, other_version: Path, tmp_path: Path
) -> None:
    model, there = repository / "bert_qa", ("--repository", repository)
    worse = shutil.copytree(other_version, tmp_path / "worse")
    manifest = json.loads((worse / "model.json").read_text(encoding="utf-8"))
    figures = {"exact_match": 2.5, "f1": 5.0}
    (worse / "model.json").write_text(json.dumps(manifest | figures), encoding="utf-8")
    held = 'spanqa_version_state{state="held",version="2"}'
    with running_server(repository, tmp_path / "log", "--workers", "2") as server:
        async with Callers(server.target).running() as callers:
            await callers.answered(50, "1")
            place(worse, model, "2")
            wait = server.wait_for_metrics
            await asyncio.to_thread(wait, lambda now: now.get(held) == 1)
            await callers.answered(100, "1")
            assert set(callers.versions()) == {"1"}
            listed = await asyncio.to_thread(run_model, "versions", *there)
            assert "held: F1 5.00, but version 1 has 80.86" in listed
            await asyncio.to_thread(run_model, "promote", "2", *there)
            await callers.answered(100, "2")
            await asyncio.to_thread(wait, lambda now: now.get(held) == 0)
            measured = ("--em", "3.25", "--f1", "6.5")
            await asyncio.to_thread(run_model, "measured", "2", *measured, *there)
            await asyncio.to_thread(poll, lambda: figures_of(server) == (3.25, 6.5), 10.0, "6.5")
            (worse / "model.json").write_text(json.dumps(manifest | {"device": "cuda"}))
            place(worse, model, "3")
            read = server.log.read_text
            why = "bert_qa/3 is held: made for cuda, but Triton computes on cpu"
            # The parent says so, and each worker.
            await asyncio.to_thread(poll, lambda: read().count(why) == 3, 10.0, why)
            await callers.answered(50, "2")
        log = read()
    assert not callers.failed()
    assert set(callers.versions()) == {"1", "2"}
    assert log.count("bert_qa/2 is held: F1 5.00, but version 1 has 80.86") == 3
    assert "ERROR" not in log


def figures_of(server: RunningServer) -> tuple[float, float]:
    """EM and F1 as GetModel says them."""
    with grpc.insecure_channel(server.target) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        model = stub.GetModel(pb.GetModelRequest(), timeout=10)
    return model.exact_match, model.f1


@pytest.mark.slow
async def test_a_version_that_does_not_load_never_takes_traffic(
    repository: Path, other_version: Path, tmp_path: Path
) -> None:
    model = repository / "bert_qa"
    with running_server(repository, tmp_path / "log") as server:
        log = server.log.read_text
        async with Callers(server.target).running() as callers:
            await callers.answered(50, "1")
            bad_versions.place(model / "1", NO_TORCHSCRIPT, 2)
            (model / "3").mkdir()  # empty: no manifest, no model
            await callers.until(lambda: "bert_qa/2 is broken: Triton could not load it" in log())
            await callers.until(lambda: "bert_qa/3 is broken: model.json" in log())
            await callers.answered(100, "1")
            place(other_version, model, "4")  # broken ones do not stand in its way
            await callers.answered(50, "4")
    assert not callers.failed()
    assert set(callers.versions()) == {"1", "4"}


def test_a_restart_with_a_broken_newest_version_serves_the_older(
    repository: Path, tmp_path: Path
) -> None:
    bad_versions.place(repository / "bert_qa" / "1", NO_TORCHSCRIPT, 2)
    with (
        running_server(repository, tmp_path / "log") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        reply = stub.Answer(REQUESTS[0], timeout=10)
        assert (reply.model_version, reply.answers[0].text) == ("1", "Warsaw")
        assert stub.GetModel(pb.GetModelRequest(), timeout=10).version == "1"


@pytest.mark.slow
async def test_memory_stays_flat_over_reloads(
    repository: Path, other_version: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    there = ("--repository", repository)
    place(other_version, repository / "bert_qa", "2")
    run_model("withdraw", "2", *there)
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
                    await callers.answered(10)

        seen = []
        async with Callers(server.target).running() as callers:
            await callers.answered(50, "1")
            for _ in range(6):
                await asyncio.to_thread(run_model, "restore", "2", *there)
                await callers.answered(20, "2")
                await asyncio.to_thread(run_model, "withdraw", "2", *there)
                await callers.answered(20, "1")
                await unloaded()
                seen.append(resident())
        say(f"MiB after each of {len(seen)} reloads: {seen}")
    assert not callers.failed()
    # Each version has a model process of its own, which ends with it.
    for process in ("frontend", "triton"):
        assert seen[-1][process] - seen[1][process] <= 10
