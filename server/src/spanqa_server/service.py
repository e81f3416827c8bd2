"""Wiring: one process that serves one model version until it is told to stop."""

import asyncio
import contextlib
import logging
import signal

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import add_QuestionAnsweringServiceServicer_to_server
from spanqa_server.errors import StartupError
from spanqa_server.grpc_api.interceptors import SERVICE, CallInterceptor
from spanqa_server.grpc_api.servicer import QuestionAnsweringServicer
from spanqa_server.qa.answerer import Answerer
from spanqa_server.qa.requests import Limits, ModelDefaults
from spanqa_server.settings import Settings
from spanqa_server.telemetry import metrics
from spanqa_server.triton.client import TritonInference
from spanqa_server.triton.dispatcher import TokenBudget
from spanqa_server.triton.embedded import EmbeddedTriton
from spanqa_server.versions import EXPORT_COMMAND, MODEL_NAME, ModelVersion, load_newest_version

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
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
    version = load_newest_version(settings.model_repository)
    start_metrics(settings, version)
    async with contextlib.AsyncExitStack() as stack:
        server, port = bind(settings)
        stack.push_async_callback(server.stop, settings.shutdown_grace)
        embedded = None
        if not settings.triton:
            embedded = EmbeddedTriton(settings.model_repository, settings.threads)
            stack.push_async_callback(embedded.stop)
            await embedded.start()
        budget = TokenBudget(settings.max_tokens_in_flight)
        metrics.TOKENS_IN_FLIGHT.set_function(lambda: budget.in_flight)
        metrics.REQUESTS_WAITING.set_function(lambda: budget.waiting)
        inference = TritonInference(
            [embedded.address] if embedded else settings.triton,
            MODEL_NAME,
            version.number,
            budget=budget,
            max_chunk_tokens=settings.max_chunk_tokens,
        )
        stack.push_async_callback(inference.close)
        answerer = make_answerer(settings, version, inference)
        stack.callback(answerer.close)
        status = add_services(server, settings, version, answerer)
        for name in SERVICES:  # nothing is known yet
            await status.set(name, NOT_SERVING)
        await server.start()
        stack.push_async_callback(server.stop, settings.shutdown_grace)
        stack.push_async_callback(status.enter_graceful_shutdown)
        await until_stopped(settings, version, inference, embedded, status, stop, port)
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


def start_metrics(settings: Settings, version: ModelVersion) -> None:
    manifest = version.manifest
    metrics.MODEL.labels(manifest.name, version.number, manifest.dtype).set(1)
    if not settings.metrics_port:
        return
    try:
        start_http_server(settings.metrics_port, settings.host)
    except OSError as error:
        raise StartupError(
            f"cannot serve metrics on {settings.host}:{settings.metrics_port} "
            f"({error.strerror}); choose another --metrics-port"
        ) from None


def make_answerer(
    settings: Settings, version: ModelVersion, inference: TritonInference
) -> Answerer:
    manifest = version.manifest
    defaults = ModelDefaults(
        manifest.max_sequence_tokens, manifest.doc_stride_tokens, manifest.has_no_answer
    )
    limits = Limits(
        max_question_tokens=settings.max_question_tokens,
        max_context_bytes=settings.max_context_bytes,
        max_top_k=settings.max_top_k,
        max_answer_tokens=settings.max_answer_tokens,
        max_sequence_tokens=manifest.max_position_embeddings,
        max_windows=settings.max_windows,
    )
    return Answerer(version.tokenizer, defaults, limits, inference)


def add_services(
    server: grpc.aio.Server, settings: Settings, version: ModelVersion, answerer: Answerer
) -> health.aio.HealthServicer:
    servicer = QuestionAnsweringServicer(
        answerer,
        describe_model(version, answerer.limits, settings),
        settings.default_timeout,
    )
    add_QuestionAnsweringServiceServicer_to_server(servicer, server)
    status = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    if settings.reflection:
        names = (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
    return status


def describe_model(
    version: ModelVersion, limits: Limits, settings: Settings
) -> pb.GetModelResponse:
    """What GetModel answers. Limits of methods that are not there yet are 0."""
    manifest = version.manifest
    return pb.GetModelResponse(
        name=manifest.name,
        version=version.number,
        checksum=manifest.model_sha256,
        source=manifest.source,
        revision=manifest.revision,
        license=manifest.license,
        dtype=manifest.dtype,
        max_sequence_tokens=manifest.max_sequence_tokens,
        doc_stride_tokens=manifest.doc_stride_tokens,
        has_no_answer=manifest.has_no_answer,
        exact_match=manifest.exact_match,
        f1=manifest.f1,
        limits=pb.ModelLimits(
            max_question_tokens=limits.max_question_tokens,
            max_context_bytes=limits.max_context_bytes,
            max_top_k=limits.max_top_k,
            max_answer_tokens=limits.max_answer_tokens,
            max_sequence_tokens=limits.max_sequence_tokens,
            max_windows=limits.max_windows,
            max_message_bytes=settings.max_message_bytes,
        ),
    )


async def until_stopped(
    settings: Settings,
    version: ModelVersion,
    inference: TritonInference,
    embedded: EmbeddedTriton | None,
    status: health.aio.HealthServicer,
    stop: asyncio.Event,
    port: int,
) -> None:
    """Keep the health service true: SERVING exactly while Triton serves the version."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + settings.startup_timeout
    logger.info("waiting for %s", embedded.address if embedded else ",".join(settings.triton))
    was_ready: bool | None = None
    ever_ready = False
    while not stop.is_set():
        ready = await inference.is_ready(within=POLL_SECONDS)
        if ready != was_ready:
            was_ready = ready
            metrics.MODEL_READY.set(ready)
            for name in SERVICES:
                await status.set(name, SERVING if ready else NOT_SERVING)
            if ready:
                logger.info(
                    "serving %s version %s on port %d", version.manifest.name, version.number, port
                )
            elif ever_ready:
                logger.error("Triton does not serve the model; NOT_SERVING until it does")
        ever_ready = ever_ready or ready
        if not ever_ready:
            check_startup(embedded, settings, expired=loop.time() > give_up)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), POLL_SECONDS if ever_ready else 0.1)


def check_startup(embedded: EmbeddedTriton | None, settings: Settings, *, expired: bool) -> None:
    if embedded and (reason := embedded.load_failure()):
        remedy = EXPORT_COMMAND.format(repository=settings.model_repository)
        raise StartupError(
            f"Triton could not load the model ({reason}); make a new version with: {remedy}"
        )
    if expired:
        where = "the embedded Triton" if embedded else f"Triton at {','.join(settings.triton)}"
        raise StartupError(
            f"{where} does not serve {MODEL_NAME} after {settings.startup_timeout:.0f} s; check "
            "that it runs and holds this version, or raise --startup-timeout"
        )
