"""The composition root: what `serve` and `gate` are made of."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial

from prometheus_client.registry import REGISTRY

from spanqa_server.errors import StartupError
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.grpc_api.model_description import describe_model
from spanqa_server.grpc_api.server import GrpcServer
from spanqa_server.processes.signals import stop_signal
from spanqa_server.qa.answerer import Answerer
from spanqa_server.qa.requests import Limits, ModelDefaults
from spanqa_server.qa.text_cache import TextCache
from spanqa_server.scheduling.admission import Admission, most_tokens
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.settings import Settings
from spanqa_server.telemetry import metrics, tracing
from spanqa_server.telemetry.endpoint import start_metrics
from spanqa_server.triton.access import access_to
from spanqa_server.triton.client import Triton, VersionInference
from spanqa_server.triton.embedded.cpu import this_cpu
from spanqa_server.triton.embedded.metrics import pass_on
from spanqa_server.triton.embedded.process import EmbeddedTriton
from spanqa_server.triton.host import TritonHost
from spanqa_server.triton.proxies import through_proxy
from spanqa_server.triton.repository_view import writable_view
from spanqa_server.triton_settings import GateSettings, TritonSettings
from spanqa_server.versions.host import Machine
from spanqa_server.versions.monitor import POLL_SECONDS, VersionMonitor
from spanqa_server.versions.repository import ModelVersion
from spanqa_server.versions.rollout import Rollout

logger = logging.getLogger(__name__)

LONG_TEXT_THREADS = 2
TEXTS_FROM = {True: metrics.TEXTS.labels("cache"), False: metrics.TEXTS.labels("tokenizer")}


async def serve(
    settings: Settings,
    *,
    shared_port: bool = False,
    replacement: bool = False,
    machine: Machine | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        settings: of this process.
        shared_port: other processes take calls on the port, too.
        replacement: take calls only once they can be answered, since the others do meanwhile.
        machine: what Triton computes on, if that is known.

    Raises:
        StartupError: a part of it cannot start; what had started is ended.
    """
    stop = stop_signal()
    start_metrics(settings.metrics_host, settings.metrics_port, REGISTRY)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(
            tracing.traces(settings.otlp_endpoint, settings.trace_ratio)
        )
        backend = await stack.enter_async_context(
            open_backend(settings, report_switches(), machine)
        )
        pass_on(backend.triton_metrics, REGISTRY)
        admission = open_admission(settings, backend.budget)
        server = GrpcServer(settings, backend.rollout, admission, shared_port=shared_port)

        async def stop_server() -> None:
            await server.stop(drain=stop.drain)

        stack.push_async_callback(stop_server)

        async def report(serving: bool) -> None:
            metrics.MODEL_READY.set(serving)
            if serving and not server.takes_calls:
                server.bind()
                await server.start()
            if server.takes_calls:
                await server.report(serving=serving)

        if not replacement:
            server.bind()
        await backend.start()
        if not replacement:
            await server.start()
        await backend.monitor.run(report, stop)
    logger.info("stopped")


@dataclass(slots=True)
class Backend:
    """Triton, the model versions on it, and the monitor of both."""

    rollout: Rollout[ServedModel]
    monitor: VersionMonitor
    budget: TokenBudget
    addresses: list[str]
    embedded: EmbeddedTriton | None

    @property
    def triton_metrics(self) -> str:
        """Where the embedded Triton gives out its metrics, if it does."""
        return self.embedded.metrics_address if self.embedded else ""

    async def start(self) -> None:
        """Look for versions, and start Triton where it is the embedded one.

        Raises:
            StartupError: there is no version, none that works, or no program to start.
        """
        await self.monitor.look()
        if self.embedded:
            await self.embedded.start()


@contextlib.asynccontextmanager
async def open_backend(
    settings: Settings, on_switch: Callable[[ModelVersion], None], machine: Machine | None = None
) -> AsyncIterator[Backend]:
    """The parts, not started yet; what has started by the end of the block is ended."""
    async with contextlib.AsyncExitStack() as stack:
        embedded = None
        if not settings.triton:
            embedded = EmbeddedTriton(
                settings.model_repository,
                settings.threads,
                metrics=settings.metrics_port != 0,
                otlp_endpoint=settings.otlp_endpoint,
            )
            stack.push_async_callback(embedded.stop)
        addresses = [embedded.address] if embedded else settings.triton
        budget = TokenBudget(
            settings.max_tokens_in_flight,
            settings.max_chunks_in_flight * settings.max_chunk_tokens,
            prefers_newcomers=len(addresses) == 1,
        )
        triton = open_triton(settings, addresses, budget)
        stack.push_async_callback(triton.close)
        threads = ThreadPoolExecutor(LONG_TEXT_THREADS, "long-text")
        # What waits there is dropped; what runs ends with the process.
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        rollout: Rollout[ServedModel] = Rollout(
            settings.model_repository,
            TritonHost(triton, embedded, this_cpu() if embedded else machine),
            build=lambda version: served_model(settings, version, triton, threads),
            on_switch=on_switch,
            first_batch_tokens=settings.first_batch_tokens,
            max_f1_drop=settings.max_f1_drop,
        )
        monitor = VersionMonitor(
            rollout,
            triton="the embedded Triton" if embedded else name_tritons(addresses),
            repository=settings.model_repository,
            startup_timeout=settings.startup_timeout,
        )
        yield Backend(rollout, monitor, budget, addresses, embedded)


def name_tritons(addresses: list[str]) -> str:
    """What messages call them; a proxy on the way is named, since it may be the reason."""
    through = {through_proxy(address, os.environ) for address in addresses}
    return f"Triton at {','.join(addresses)}{''.join(sorted(through))}"


def open_triton(settings: TritonSettings, addresses: list[str], budget: TokenBudget) -> Triton:
    return Triton(
        addresses,
        budget=budget,
        max_chunk_tokens=settings.max_chunk_tokens,
        access=access_to(settings),
    )


def open_admission(settings: Settings, budget: TokenBudget) -> Admission:
    return Admission(settings.max_admitted_bytes, budget, long_from=settings.max_chunk_tokens)


def served_model(
    settings: Settings, version: ModelVersion, triton: Triton, threads: Executor
) -> ServedModel:
    """A version with its tokenizer, its limits and its inference."""
    manifest = version.manifest
    defaults = ModelDefaults(
        manifest.max_sequence_tokens, manifest.doc_stride_tokens, manifest.has_no_answer
    )
    limits = limits_of(settings, version)
    inference = VersionInference(triton, version.number, version.tensor_limits)
    texts = TextCache(
        version.tokenizer, threads, settings.text_cache_bytes, lambda known: TEXTS_FROM[known].inc()
    )
    answerer = Answerer(texts, defaults, limits, inference, threads, tracing.stage)
    return ServedModel(answerer, version.number, partial(describe_model, version, limits, settings))


def limits_of(settings: Settings, version: ModelVersion) -> Limits:
    """The settings of the same names, the positions that the model has, what memory allows."""
    positions = version.manifest.max_position_embeddings
    window_tokens = most_tokens(settings.max_admitted_bytes)
    names = {field.name for field in fields(Limits)} - {"max_sequence_tokens", "max_window_tokens"}
    given = {name: getattr(settings, name) for name in names}
    return Limits(max_sequence_tokens=positions, max_window_tokens=window_tokens, **given)


def report_switches() -> Callable[[ModelVersion], None]:
    """What shows in metrics and log which version serves from now on."""
    shown: list[ModelVersion] = []

    def report(version: ModelVersion) -> None:
        for one, serves in ((shown.pop() if shown else None, 0), (version, 1)):
            if one:
                labels = one.manifest.name, one.number, one.manifest.dtype
                metrics.MODEL.labels(*labels).set(serves)
        shown.append(version)
        metrics.MODEL_SWITCHES.inc()
        logger.info("serving %s version %s", version.manifest.name, version.number)

    return report


async def keep_gate(settings: GateSettings) -> None:
    """Offer the versions that work to one Triton, until SIGTERM or SIGINT.

    Triton loads all versions that it sees or none, and at a start a broken one keeps it from
    serving any. So it polls a view: links to the newest versions that can be read, that it could
    load, and that pass their canary.

    Raises:
        StartupError: there is not one Triton, or the view cannot be written.
    """
    if len(settings.triton) != 1:
        raise StartupError("--triton must name one Triton: each has a gate of its own")
    stop = stop_signal()
    start_metrics(settings.metrics_host, settings.metrics_port, REGISTRY)
    view = writable_view(settings.view, settings.model_repository)
    async with contextlib.AsyncExitStack() as stack:
        triton = open_triton(settings, settings.triton, TokenBudget(settings.max_tokens_in_flight))
        stack.push_async_callback(triton.close)
        rollout: Rollout[None] = Rollout(
            settings.model_repository,
            TritonHost(triton, view),
            build=lambda version: None,
            on_switch=lambda version: logger.info("version %s passed its canary", version.number),
            first_batch_tokens=settings.first_batch_tokens,
            max_f1_drop=settings.max_f1_drop,
        )
        logger.info("offering the versions of %s to Triton", settings.model_repository)
        while not stop.is_set():
            try:
                await rollout.look()
            except OSError as error:  # a disk that is full or out of reach
                logger.error("cannot offer model versions: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_SECONDS)
    logger.info("stopped; Triton keeps what it was offered")
