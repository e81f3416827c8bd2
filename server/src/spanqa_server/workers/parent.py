"""Several processes on one port: each is a whole frontend, and their parent takes no calls.

They share nothing but the port and Triton. The parent keeps them running, starts the embedded
Triton, offers it the model versions, and serves the metrics of all.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator

from spanqa_server.app import open_backend
from spanqa_server.errors import cannot_listen
from spanqa_server.processes.signals import stop_signal
from spanqa_server.processes.supervised import Program, Supervised
from spanqa_server.settings import Settings
from spanqa_server.telemetry.endpoint import start_metrics
from spanqa_server.triton.embedded.metrics import pass_on
from spanqa_server.workers.child import TASK
from spanqa_server.workers.metrics import WorkerMetrics

# What a worker needs to end, after drain and grace.
END_SECONDS = 3.0


async def serve_with_workers(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartupError: a part of it cannot start; what had started is ended.
    """
    stop = stop_signal()
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(reserved_port(settings))
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="spanqa-metrics-"))
        metrics = WorkerMetrics(directory)
        start_metrics(settings.metrics_host, settings.metrics_port, metrics.registry)
        backend = await stack.enter_async_context(open_backend(settings, lambda version: None))
        pass_on(backend.triton_metrics, metrics.registry)
        await backend.start()
        shared = settings_of_worker(settings, port, backend.addresses)
        numbers = range(1, settings.workers + 1)
        embedded = backend.embedded is not None
        workers = [worker_process(number, shared, metrics, embedded=embedded) for number in numbers]

        async def stop_workers() -> None:
            number = signal.SIGTERM if stop.drain else signal.SIGINT
            await asyncio.gather(*(worker.stop(number) for worker in workers))

        stack.push_async_callback(stop_workers)
        for worker in workers:
            await worker.start()
        await backend.monitor.run(ignore, stop)


async def ignore(ready: bool) -> None:
    """Each worker reports to its own callers."""


def worker_process(
    number: int, settings: Settings, metrics: WorkerMetrics, *, embedded: bool
) -> Supervised:
    """One of the workers. A replacement takes calls only once it can answer them."""
    starts = itertools.count()

    def prepare() -> Program:
        task = {
            "settings": settings.model_dump(mode="json"),
            "replacement": next(starts) > 0,
            "embedded": embedded,
        }
        return Program(
            [sys.executable, "-m", "spanqa_server.workers.child"],
            # Everyone on the machine can read arguments, and settings may hold a password in a URL.
            os.environ | {"PROMETHEUS_MULTIPROC_DIR": metrics.directory, TASK: json.dumps(task)},
        )

    return Supervised(
        f"worker {number}",
        prepare,
        stop_seconds=settings.drain_seconds + settings.shutdown_grace + END_SECONDS,
        # Without a drain: it has no Triton any more, and its port is wanted.
        orphan_signal=signal.SIGINT,
        on_end=metrics.forget,
    )


def settings_of_worker(settings: Settings, port: int, triton: list[str]) -> Settings:
    """The same but for what the parent keeps: the port, Triton, the metrics of all."""
    update = {"port": port, "triton": triton, "workers": 1, "metrics_port": 0}
    return settings.model_copy(update=update)


@contextlib.contextmanager
def reserved_port(settings: Settings) -> Iterator[int]:
    """The port, reserved for workers of this process.

    Raises:
        StartupError: it is in use, or the address is not of this machine.
    """
    try:
        [(family, kind, _, _, address), *_] = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        raise cannot_listen(settings.host, settings.port) from None
    with socket.socket(family, kind) as reserved:
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind(address)
        except OSError:
            raise cannot_listen(settings.host, settings.port) from None
        # Only after binding it: so nobody else can be listening there.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield reserved.getsockname()[1]
