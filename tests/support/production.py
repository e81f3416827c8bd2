"""Triton as production runs it: by triton.sh, a gate beside it that keeps its view, a frontend.

Every process can be stopped, killed and started again, keeps its log, and ends with its block.
"""

import contextlib
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from spanqa_server.versions.repository import MODEL_NAME
from support.given import Given
from support.processes import (
    BIN,
    RunningServer,
    clean_environment,
    free_port,
    poll,
    running_server,
    stopped,
)

ROOT = Path(__file__).parents[2]
TRITON_SH = ROOT / "docker" / "kubernetes" / "triton.sh"
# What Triton says when it has put another instance of the version in the place of one, or none.
UNLOADED = "successfully unloaded '{model}' version {number}\""


class Part:
    """A process that may be ended and started again; its log goes on."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process's; fails where it has ended."""
        assert self._process
        assert self._process.poll() is None, f"it ended:\n{tail(self.log)}"
        return self._process.pid

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=output, stderr=output
            )

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """It hangs for as long as the block lasts."""
        with stopped(psutil.Process(self.pid)):
            yield

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def end(self, within: float = 10.0) -> None:
        """By SIGTERM, or however it takes."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()


class RunningTriton(Part):
    """A program that `triton.sh` starts, on free ports, with a view of versions."""

    def __init__(self, given: Given, view: Path, directory: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.metrics_port = free_port()
        programs = directory / "bin"
        programs.mkdir(parents=True)
        program = programs / "tritonserver"
        program.write_text(f'#!/bin/sh\nexec "{given.program}" "$@"\n')
        program.chmod(0o755)
        view.mkdir(exist_ok=True)
        flags = {
            "backend-directory": given.backends,
            "repository-poll-secs": 1,
            "grpc-address": "127.0.0.1",
            "grpc-port": self.address.rpartition(":")[2],
            "http-port": free_port(),
            "metrics-address": "127.0.0.1",
            "metrics-port": self.metrics_port,
            "exit-timeout-secs": 5,
        }
        command = ["sh", str(TRITON_SH), *(f"--{name}={value}" for name, value in flags.items())]
        inherited = {name: v for name, v in os.environ.items() if name != "OTLP_ENDPOINT"}
        path = f"{programs}:{os.environ['PATH']}"
        super().__init__(
            command,
            inherited | {"PATH": path, "MODEL_REPOSITORY": str(view)},
            directory / "triton.log",
        )

    def unloads(self, number: str) -> int:
        """How often it gave up an instance of this version, by its log: reloads do that, too."""
        return self.log.read_text().count(UNLOADED.format(model=MODEL_NAME, number=number))

    def batches(self) -> tuple[float, float]:
        """Requests and batches so far, of all versions, by its own metrics."""
        told = metrics_of(self.metrics_port)
        requests, batches = (
            sum(value for label, value in told.items() if label.startswith(f"{name}{{"))
            for name in ("nv_inference_count", "nv_inference_exec_count")
        )
        return requests, batches

    def batches_since(self, before: tuple[float, float], requests: int) -> tuple[float, float]:
        """The same from then on, when so many are counted: that comes after they are answered."""
        poll(lambda: self.batches()[0] - before[0] >= requests, 10, f"{requests} requests counted")
        after = self.batches()
        return after[0] - before[0], after[1] - before[1]


class Gate(Part):
    """`spanqa-server gate`: it keeps the view of one Triton."""

    def __init__(self, triton: RunningTriton, view: Path, repository: Path, log: Path) -> None:
        self.metrics_port = free_port()
        self.view = view
        super().__init__(
            [
                *(str(BIN / "spanqa-server"), "gate", "--host", "127.0.0.1"),
                *("--triton", triton.address, "--view", str(view)),
                *("--model-repository", str(repository)),
                *("--metrics-port", str(self.metrics_port)),
            ],
            clean_environment(),
            log,
        )


@dataclass
class Back:
    """A Triton and its gate."""

    triton: RunningTriton
    gate: Gate

    def restart(self, *, with_gate: bool = False) -> None:
        """After a `kill` of Triton; with an empty view where the gate starts anew, too."""
        if with_gate:
            self.gate.end()
            shutil.rmtree(self.gate.view)
            self.gate.view.mkdir()
        self.triton.start()
        if with_gate:
            self.gate.start()


@dataclass
class Site:
    """All parts of one service."""

    backs: list[Back]
    front: RunningServer
    repository: Path

    @property
    def triton(self) -> RunningTriton:
        return self.backs[0].triton


@contextlib.contextmanager
def running_back(given: Given, repository: Path, directory: Path) -> Iterator[Back]:
    """A Triton and its gate; at the end of the block both are gone."""
    view = directory / "view"
    triton = RunningTriton(given, view, directory)
    gate = Gate(triton, view, repository, directory / "gate.log")
    try:
        triton.start()
        gate.start()
        yield Back(triton, gate)
    finally:
        gate.end()
        triton.end()


@contextlib.contextmanager
def running_site(
    given: Given, repository: Path, directory: Path, tritons: int = 1
) -> Iterator[Site]:
    """Tritons with their gates, and a frontend on all of them, which serves."""
    with contextlib.ExitStack() as stack:
        backs = [
            stack.enter_context(running_back(given, repository, directory / f"triton-{number}"))
            for number in range(tritons)
        ]
        addresses = ",".join(back.triton.address for back in backs)
        log = directory / "front.log"
        front = running_server(repository, log, "--triton", addresses)
        yield Site(backs, stack.enter_context(front), repository)


def metrics_of(port: int) -> dict[str, float]:
    """A metrics page on this machine, by name and labels as they are written."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        lines = page.read().decode().splitlines()
    parts = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in parts}


def tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
