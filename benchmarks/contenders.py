"""Who takes part in the comparison: each answers the same requests and says what that took."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Protocol

import psutil

from asking import ask_all, cpu_seconds
from local_contenders import LOCAL
from models import Weights
from spanqa.v1 import question_answering_pb2 as pb
from support.processes import RunningServer, running_server


@dataclass(frozen=True, slots=True)
class Measured:
    """What a set of requests took: seconds by the clock, CPU seconds of all its processes."""

    requests: int
    windows: int
    wall: float
    cpu: float
    latencies: list[float]


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
        windows, latencies = asyncio.run(ask_all(self._server.target, requests, concurrency))
        wall = perf_counter() - begin
        return Measured(len(requests), windows, wall, self._cpu() - before, latencies)

    def _cpu(self) -> float:
        processes = [psutil.Process(self._server.process.pid), *self._server.children()]
        return cpu_seconds(processes)


@contextmanager
def service(repository: Path) -> Iterator[Contender]:
    """A SpanQA server with its embedded Triton."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server(repository, Path(directory) / "log", "--default-timeout", "600") as server,
    ):
        yield Service(server)


class Local:
    """A library in a process of its own, one request after the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def answer(self, requests: list[pb.AnswerRequest], concurrency: int) -> Measured:
        self._connection.send([(request.question, request.context) for request in requests])
        wall, cpu, latencies = self._connection.recv()
        return Measured(len(requests), 0, wall, cpu, latencies)


@contextmanager
def local(name: str, weights: Weights, dtype: str) -> Iterator[Contender]:
    """One of `LOCAL`, with as many threads as there are cores."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    threads = os.cpu_count() or 1
    process = spawn.Process(
        target=LOCAL[name], args=(theirs, weights.checkpoint, dtype, threads), daemon=True
    )
    process.start()
    try:
        yield Local(ours)
    finally:
        process.kill()
        process.join()
