"""Who takes part in the comparison: each answers the same requests and says what that took."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Protocol

import psutil

from benchmarks.common.asking import ask_all, cpu_seconds
from benchmarks.common.models import Weights
from benchmarks.common.report import SPANQA, Measured
from benchmarks.common.serving import served
from benchmarks.service.mlserver import mlserver
from benchmarks.service.pipeline import PIPELINE, run_pipeline
from spanqa.v1 import question_answering_pb2 as pb
from support.processes import RunningServer

SERVICES = {
    SPANQA: "packed",
    "SpanQA, padded to 384": "padded to 384",
    "SpanQA, padded to the longest": "padded to the longest",
}
MLSERVER = "MLServer, float32"
STAGES = ("tokenize", "queue", "infer", "decode", "total")


class Contender(Protocol):
    """Somebody who answers questions."""

    def answer(self, requests: list[pb.AnswerRequest], concurrency: int) -> Measured:
        """Answer them all, `concurrency` at a time where it can."""


class Service:
    """A SpanQA server, asked over gRPC."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server

    def answer(self, requests: list[pb.AnswerRequest], concurrency: int) -> Measured:
        before = self._cpu()
        begin = perf_counter()
        done = asyncio.run(ask_all(self._server.target, requests, concurrency))
        wall, cpu = perf_counter() - begin, self._cpu() - before
        responses = [response for response, _ in done]
        windows = sum(response.usage.windows for response in responses)
        stages = [stage_seconds(response.timing) for response in responses]
        latencies = [seconds for _, seconds in done]
        return Measured(len(requests), windows, wall, cpu, latencies, stages)

    def _cpu(self) -> float:
        processes = [psutil.Process(self._server.process.pid), *self._server.children()]
        return cpu_seconds(processes)


def stage_seconds(timing: pb.Timing) -> dict[str, float]:
    """What the server says that each stage took, and the rest of its time."""
    seconds = {stage: getattr(timing, stage).ToNanoseconds() / 1e9 for stage in STAGES}
    total = seconds.pop("total")
    return {**seconds, "rest": max(0.0, total - sum(seconds.values()))}


@contextmanager
def service(repository: Path) -> Iterator[Contender]:
    """A SpanQA server with its embedded Triton."""
    with served(repository, "--default-timeout", "600") as server:
        yield Service(server)


class Pipeline:
    """The pipeline of `transformers` in a process of its own, one request after the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def answer(self, requests: list[pb.AnswerRequest], concurrency: int) -> Measured:
        self._connection.send([(request.question, request.context) for request in requests])
        wall, cpu, latencies = self._connection.recv()
        return Measured(len(requests), 0, wall, cpu, latencies)


@contextmanager
def pipeline(checkpoint: Path, dtype: str) -> Iterator[Contender]:
    """The pipeline with as many threads as there are cores."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    threads = os.cpu_count() or 1
    process = spawn.Process(
        target=run_pipeline, args=(theirs, checkpoint, dtype, threads), daemon=True
    )
    process.start()
    try:
        yield Pipeline(ours)
    finally:
        process.kill()
        process.join()


def enter_all(
    stack: ExitStack,
    weights: Weights,
    dtype: str,
    engines: Mapping[str, Path],
    wanted: Callable[[str], bool],
    *,
    with_mlserver: bool,
) -> tuple[dict[str, Contender], dict[str, Contender]]:
    """Start all who are wanted: services, which many callers ask, and libraries, which know one.

    `engines` are repositories whose versions another engine runs, behind our frontend.
    """
    services: dict[str, Contender] = {}
    ours = {name: weights.repositories.get(padding) for name, padding in SERVICES.items()}
    for name, repository in {**ours, **engines}.items():
        if repository is not None and wanted(name):
            services[name] = stack.enter_context(service(repository))
    if with_mlserver and wanted(MLSERVER):
        services[MLSERVER] = stack.enter_context(mlserver(weights.checkpoint))
    libraries = {
        name: stack.enter_context(pipeline(weights.checkpoint, one))
        for one in dict.fromkeys(("float32", "bfloat16" if dtype == "bfloat16" else "float32"))
        if wanted(name := f"{PIPELINE}, {one}")
    }
    return services, libraries
