"""Wiring: one process that serves the newest model version until it is told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable

from prometheus_client import start_http_server
from prometheus_client.registry import REGISTRY, CollectorRegistry

from spanqa_server.errors import StartupError
from spanqa_server.front import GrpcFront
from spanqa_server.grpc_api.admission import Admission
from spanqa_server.settings import Settings
from spanqa_server.telemetry import metrics, tracing
from spanqa_server.telemetry.triton_metrics import pass_on
from spanqa_server.triton_settings import TritonSettings
from spanqa_server.upkeep import open_upkeep
from spanqa_server.versions import ModelVersion

logger = logging.getLogger(__name__)


async def serve(settings: Settings, sharers: int = 1, late: bool = False) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: of this process.
        sharers: how many processes have the port in common.
        late: take calls only once they can be answered, since others do meanwhile.

    Raises:
        StartupError: a part of it cannot start; what had started is ended.
    """
    stop = stop_signal()
    start_metrics(settings, REGISTRY)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(
            tracing.traces(settings.otlp_endpoint, settings.trace_ratio)
        )
        upkeep = await stack.enter_async_context(open_upkeep(settings, switch_teller()))
        pass_on(upkeep.triton_metrics, REGISTRY)
        admission = Admission(
            settings.admitted_tokens,
            settings.max_admitted_long_tokens,
            long_from=settings.chunk_tokens,
            in_flight=settings.max_tokens_in_flight,
            max_wait=settings.max_wait,
            pace=upkeep.tokens_per_second,
        )
        front = GrpcFront(settings, upkeep.rollout, admission, sharers)

        async def stop_front() -> None:
            await front.stop(drain=stop.drain)

        stack.push_async_callback(stop_front)

        async def tell(ready: bool) -> None:
            metrics.MODEL_READY.set(ready)
            if ready and not front.takes_calls:
                front.bind()
                await front.start()
            if front.takes_calls:
                await front.tell(ready)

        if not late:
            front.bind()
        await upkeep.start()
        if not late:
            await front.start()
        await upkeep.run(tell, stop)
    logger.info("stopped")


class Stop(asyncio.Event):
    """Set by SIGTERM, after which balancers get time to notice, and by SIGINT, from a terminal.

    A second signal ends the process at once, and with it those that it has started.
    """

    drain = False

    def by_signal(self, number: signal.Signals) -> None:
        """What a signal does."""
        if self.is_set():
            logger.warning("a second signal: ending at once")
            os._exit(128 + number)
        self.drain = number == signal.SIGTERM
        self.set()


def stop_signal() -> Stop:
    """Listen to signals from now on."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.by_signal, number)
    return stop


def start_metrics(settings: TritonSettings, registry: CollectorRegistry) -> None:
    """Serve metrics if the settings say so; raises StartupError where the port is in use."""
    if not settings.metrics_port:
        return
    try:
        start_http_server(settings.metrics_port, settings.host, registry)
    except OSError as error:
        raise StartupError(
            f"cannot serve metrics on {settings.host}:{settings.metrics_port} "
            f"({error.strerror}); choose another --metrics-port"
        ) from None


def switch_teller() -> Callable[[ModelVersion], None]:
    """What says which version serves from now on."""
    shown: list[ModelVersion] = []

    def tell(version: ModelVersion) -> None:
        for one, serves in ((shown.pop() if shown else None, 0), (version, 1)):
            if one:
                labels = one.manifest.name, one.number, one.manifest.dtype
                metrics.MODEL.labels(*labels).set(serves)
        shown.append(version)
        metrics.MODEL_SWITCHES.inc()
        logger.info("serving %s version %s", version.manifest.name, version.number)

    return tell
