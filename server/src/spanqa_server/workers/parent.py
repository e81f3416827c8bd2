"""Several processes on one port: each a whole frontend, kept running by one that takes no calls.

They share nothing but the port and Triton. The process that keeps them starts the embedded Triton,
offers it the model versions, and gives out the metrics of all.
"""

import asyncio
import contextlib
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
from spanqa_server.workers.metrics import WorkerMetrics

# Beyond the grace of calls: what a worker needs to end.
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
        start_metrics(settings.host, settings.metrics_port, metrics.registry)
        backend = await stack.enter_async_context(open_backend(settings, lambda version: None))
        pass_on(backend.triton_metrics, metrics.registry)
        await backend.start()
        shared = settings_of_worker(settings, port, backend.addresses)
        workers = [
            Worker(f"worker {number}", shared, metrics) for number in range(1, settings.workers + 1)
        ]

        async def stop_workers() -> None:
            number = signal.SIGTERM if stop.drain else signal.SIGINT
            await asyncio.gather(*(worker.process.stop(number) for worker in workers))

        stack.push_async_callback(stop_workers)
        for worker in workers:
            await worker.process.start()
        await backend.monitor.run(report_to_nobody, stop)


async def report_to_nobody(ready: bool) -> None:
    """Each worker sees for itself."""


class Worker:
    """One of the processes; started again, it takes calls only once it can answer them."""

    def __init__(self, name: str, settings: Settings, metrics: WorkerMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._starts = 0
        self.process = Supervised(
            name,
            self._prepare,
            stop_seconds=settings.drain_seconds + settings.shutdown_grace + END_SECONDS,
            # Without a drain: it has no Triton any more, and its port is wanted.
            orphan_signal=signal.SIGINT,
            on_end=metrics.forget,
        )

    def _prepare(self) -> Program:
        self._starts += 1
        task = {
            "settings": self._settings.model_dump(mode="json"),
            "replacement": self._starts > 1,
        }
        return Program(
            [sys.executable, "-m", "spanqa_server.workers.child", json.dumps(task)],
            os.environ | {"PROMETHEUS_MULTIPROC_DIR": self._metrics.directory},
        )


def settings_of_worker(settings: Settings, port: int, triton: list[str]) -> Settings:
    """The same but for what the parent keeps: the port, Triton, the metrics of all."""
    update = {"port": port, "triton": triton, "workers": 1, "metrics_port": 0}
    return settings.model_copy(update=update)


@contextlib.contextmanager
def reserved_port(settings: Settings) -> Iterator[int]:
    """The port, taken for workers of this process.

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
        # Only now: nobody else's listeners can have been there.
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield reserved.getsockname()[1]
