"""Real servers for tests: started on free ports, waited for, and always ended."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

BIN = Path(sys.executable).parent
SERVER = (str(BIN / "spanqa-server"),)
SERVING = health_pb2.HealthCheckResponse.SERVING
START_SECONDS = 90.0
WORK_UNDER_WAY = ("spanqa_triton_tokens_in_flight", "spanqa_requests_waiting")


def free_port() -> int:
    """One that connections to elsewhere do not take meanwhile, as those of the system's choice."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def absent() -> Iterator[str]:
    """An address where nobody listens."""
    yield f"127.0.0.1:{free_port()}"


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@contextlib.contextmanager
def stopped(process: psutil.Process) -> Iterator[psutil.Process]:
    """It hangs for as long as the block lasts."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGCONT)


def poll(condition: Callable[[], bool], within: float, wanted: str) -> None:
    """Wait until it is so; from async code by a thread."""
    give_up = monotonic() + within
    while not condition():
        assert monotonic() < give_up, f"not within {within:g} s: {wanted}"
        sleep(0.02)


@dataclass
class RunningServer:
    """A `spanqa-server serve` process."""

    process: subprocess.Popen[bytes]
    target: str
    log: Path
    metrics_port: int

    def children(self) -> list[psutil.Process]:
        """Every process that it started, directly or not."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def triton(self) -> psutil.Process:
        """Its embedded Triton."""
        return next(child for child in self.children() if child.name() == "tritonserver")

    def workers(self) -> list[psutil.Process]:
        """Its worker processes, where there are several."""
        return [one for one in self.children() if "spanqa_server.workers.child" in one.cmdline()]

    def metrics_page(self) -> str:
        """What Prometheus reads."""
        address = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(address, timeout=5) as page:
            text: str = page.read().decode()
        return text

    def metrics(self) -> dict[str, float]:
        """Its own metrics by name and labels, as they are written: name{label="value"}."""
        lines = self.metrics_page().splitlines()
        parts = (line.rpartition(" ") for line in lines if line.startswith("spanqa_"))
        return {name: float(value) for name, _, value in parts}

    def wait_for_metrics(
        self, condition: Callable[[dict[str, float]], bool], within: float = 10.0
    ) -> dict[str, float]:
        """Read the metrics until they are as wanted."""
        give_up = monotonic() + within
        while not condition(metrics := self.metrics()):
            told = {name: value for name, value in metrics.items() if "_bucket" not in name}
            assert monotonic() < give_up, f"not so after {within} s: {told}"
        return metrics

    def wait_until_idle(self, within: float = 10.0) -> dict[str, float]:
        """Wait until nothing is at Triton and nothing waits to go there."""
        return self.wait_for_metrics(
            lambda now: all(now[name] == 0 for name in WORK_UNDER_WAY), within
        )

    def stop(self, number: signal.Signals = signal.SIGTERM, within: float = 15.0) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within)


def serve_command(repository: Path, *arguments: str, program: Sequence[str] = SERVER) -> list[str]:
    return [
        *(*program, "serve", "--host", "127.0.0.1"),
        *("--model-repository", str(repository), *arguments),
    ]


def clean_environment() -> dict[str, str]:
    """Without settings, but for one that would make each test two seconds longer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPANQA_")}
    return kept | {"SPANQA_DRAIN_SECONDS": "0"}


@contextlib.contextmanager
def running_server(
    repository: Path,
    log: Path,
    *arguments: str,
    wait: bool = True,
    program: Sequence[str] = SERVER,
) -> Iterator[RunningServer]:
    """Run a server; at the end of the block it and all its children are gone."""
    port, metrics_port = free_port(), free_port()
    ports = ("--port", str(port), "--metrics-port", str(metrics_port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            serve_command(repository, *ports, *arguments, program=program),
            stderr=output,
            stdout=output,
            env=clean_environment(),
        )
    server = RunningServer(process, f"127.0.0.1:{port}", log, metrics_port)
    children: list[psutil.Process] = []
    try:
        if wait:
            wait_until_serving(server)
            if "--workers" in arguments:
                wait_for_workers(server, int(arguments[arguments.index("--workers") + 1]))
            children = server.children()
        yield server
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            children += server.children()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in psutil.wait_procs(set(children), timeout=10)[1]:
            child.kill()


def wait_until_serving(
    server: RunningServer,
    within: float = START_SECONDS,
    credentials: grpc.ChannelCredentials | None = None,
) -> None:
    """Follow the health service until it says SERVING."""
    give_up = monotonic() + within
    with open_channel(server.target, credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while monotonic() < give_up:
            if server.process.poll() is not None:
                raise AssertionError(f"the server ended: {server.log.read_text()}")
            with contextlib.suppress(grpc.RpcError):
                watch = stub.Watch(
                    health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=1.0
                )
                if any(update.status == SERVING for update in watch):
                    return
    raise AssertionError(f"not serving after {within} s: {server.log.read_text()}")


def wait_for_workers(server: RunningServer, workers: int, within: float = 30.0) -> None:
    """Wait until each has a version: a connection leads to any of them."""
    poll(lambda: server.log.read_text().count(" serving ") >= workers, within, "all workers serve")


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A connection of its own: others to the target are not used again."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, credentials, options)


def run_model(*arguments: object) -> str:
    """What a command of `spanqa-model` prints, as a user would give it; it must succeed."""
    command = [str(part) for part in (BIN / "spanqa-model", *arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


def run_serve(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to end by itself."""
    return subprocess.run(
        serve_command(repository, *arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
        check=False,
    )
