"""Wiring: one process that serves the newest model version until it is told to stop."""

import asyncio
import contextlib
import logging
import signal
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from spanqa.v1.question_answering_pb2_grpc import add_QuestionAnsweringServiceServicer_to_server
from spanqa_server.errors import StartupError
from spanqa_server.grpc_api.interceptors import SERVICE, CallInterceptor
from spanqa_server.grpc_api.servicer import QuestionAnsweringServicer
from spanqa_server.rollout import Rollout
from spanqa_server.serving import serve_version
from spanqa_server.settings import Settings
from spanqa_server.telemetry import metrics
from spanqa_server.triton.client import Triton
from spanqa_server.triton.dispatcher import TokenBudget
from spanqa_server.triton.embedded import EmbeddedTriton
from spanqa_server.triton.host import TritonHost
from spanqa_server.versions import EXPORT_COMMAND, MODEL_NAME, ModelVersion

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LONG_WORK_THREADS = 2
SERVICES = ("", SERVICE.full_name)
SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        StartupError: a part of it cannot start; what had started is ended.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    start_metrics(settings)
    async with contextlib.AsyncExitStack() as stack:
        server, port = bind(settings)
        stack.push_async_callback(server.stop, settings.shutdown_grace)
        embedded = None
        if not settings.triton:
            embedded = EmbeddedTriton(settings.model_repository, settings.threads)
            stack.push_async_callback(embedded.stop)
        budget = TokenBudget(settings.max_tokens_in_flight, settings.chunk_capacity)
        metrics.TOKENS_IN_FLIGHT.set_function(lambda: budget.in_flight)
        metrics.REQUESTS_WAITING.set_function(lambda: budget.waiting)
        triton = Triton(
            [embedded.address] if embedded else settings.triton,
            MODEL_NAME,
            budget=budget,
            max_chunk_tokens=settings.chunk_tokens,
        )
        stack.push_async_callback(triton.close)
        threads = ThreadPoolExecutor(LONG_WORK_THREADS, "long-text")
        # What waits there is dropped; what runs ends with the process.
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        rollout = Rollout(
            settings.model_repository,
            TritonHost(triton, embedded),
            build=lambda version: serve_version(settings, version, triton, threads),
            on_switch=lambda version: tell_switch(version, port),
        )
        await rollout.look()
        check_versions(rollout, settings)
        if embedded:
            await embedded.start()
        status = add_services(server, settings, rollout)
        for name in SERVICES:  # nothing is known yet
            await status.set(name, NOT_SERVING)
        await server.start()
        stack.push_async_callback(server.stop, settings.shutdown_grace)
        stack.push_async_callback(status.enter_graceful_shutdown)
        await until_stopped(settings, rollout, embedded, status, stop)
    logger.info("stopped")


def bind(settings: Settings) -> tuple[grpc.aio.Server, int]:
    """Make the server and take its port.

    Raises:
        StartupError: the port is in use, or the address is not of this machine.
    """
    server = grpc.aio.server(
        interceptors=[CallInterceptor()],
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # Clients may ping every 10 s, with or without a call under way.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{host}:{settings.port}"
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if port == 0:
        raise StartupError(
            f"cannot listen on {address}: the port is in use or the address is not of this "
            "machine; choose others with --port and --host"
        )
    return server, port


def start_metrics(settings: Settings) -> None:
    if not settings.metrics_port:
        return
    try:
        start_http_server(settings.metrics_port, settings.host)
    except OSError as error:
        raise StartupError(
            f"cannot serve metrics on {settings.host}:{settings.metrics_port} "
            f"({error.strerror}); choose another --metrics-port"
        ) from None


def add_services(
    server: grpc.aio.Server, settings: Settings, rollout: Rollout
) -> health.aio.HealthServicer:
    servicer = QuestionAnsweringServicer(
        rollout, settings.default_timeout, settings.max_batch_items, settings.max_stream_pairs
    )
    add_QuestionAnsweringServiceServicer_to_server(servicer, server)
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    if settings.reflection:
        names = (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    return status


async def until_stopped(
    settings: Settings,
    rollout: Rollout,
    embedded: EmbeddedTriton | None,
    status: health.aio.HealthServicer,
    stop: asyncio.Event,
) -> None:
    """Keep the version the best one and the health service true, until told to stop."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + settings.startup_timeout
    logger.info("waiting for %s", embedded.address if embedded else ",".join(settings.triton))
    was_ready: bool | None = None
    ever_ready = False
    while not stop.is_set():
        try:
            ready = await rollout.look()
        except OSError as error:  # a disk that is full or out of reach
            logger.error("cannot look for model versions: %s", error)
            ready = bool(was_ready)
        if ready != was_ready:
            was_ready = ready
            metrics.MODEL_READY.set(ready)
            for name in SERVICES:
                await status.set(name, SERVING if ready else NOT_SERVING)
            if not ready and ever_ready:
                logger.error("Triton does not serve the model; NOT_SERVING until it does")
            elif ever_ready:
                logger.info("Triton serves the model again")
        ever_ready = ever_ready or ready
        if not ever_ready:
            check_versions(rollout, settings)
            if loop.time() > give_up:
                raise too_late(embedded, settings)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), POLL_SECONDS if ever_ready else 0.1)


def tell_switch(version: ModelVersion, port: int) -> None:
    """Say which version serves from now on."""
    manifest = version.manifest
    metrics.MODEL.clear()
    metrics.MODEL.labels(manifest.name, version.number, manifest.dtype).set(1)
    metrics.MODEL_SWITCHES.inc()
    logger.info("serving %s version %s on port %d", manifest.name, version.number, port)


def check_versions(rollout: Rollout, settings: Settings) -> None:
    """Fail while starting where there is no version, or none that works."""
    if reason := rollout.failure():
        remedy = EXPORT_COMMAND.format(repository=settings.model_repository)
        raise StartupError(f"{reason}; make one with: {remedy}")


def too_late(embedded: EmbeddedTriton | None, settings: Settings) -> StartupError:
    where = "the embedded Triton" if embedded else f"Triton at {','.join(settings.triton)}"
    return StartupError(
        f"{where} does not serve {MODEL_NAME} after {settings.startup_timeout:.0f} s; check "
        "that it runs and holds this version, or raise --startup-timeout"
    )
