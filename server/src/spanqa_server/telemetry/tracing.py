"""Traces to an OpenTelemetry collector. Without one there are no spans, and a stage costs nothing.

The spans of calls and of Triton are made here, not by opentelemetry-instrumentation-grpc: of
grpc.aio it traces cancelled calls as good ones, its client lets what is cancelled go on at the
other side, and a stream that is dropped logs a traceback.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

END_SECONDS = 1.5
EXPORT_SECONDS = 2.0
TOLD_SECONDS = 60.0
EXPORTERS = ("opentelemetry.exporter", "opentelemetry.sdk")
NO_SPAN: AbstractContextManager[Span] = nullcontext(trace.INVALID_SPAN)
W3C = TraceContextTextMapPropagator()

tracer: Tracer | None = None


@asynccontextmanager
async def traces(endpoint: str, ratio: float) -> AsyncIterator[None]:
    """Send traces to this collector, if there is one, until the end of the block.

    Args:
        endpoint: its URL.
        ratio: the share of calls traced, of those whose callers do not say whether they are.
    """
    global tracer
    if not endpoint:
        yield
        return
    provider = make_provider(endpoint, ratio)
    tracer = provider.get_tracer("spanqa_server")
    try:
        yield
    finally:
        tracer = None
        await end(provider)


def make_provider(endpoint: str, ratio: float) -> "TracerProvider":
    """Whoever samples spans and sends them, from a thread of its own."""
    # Slow to import, and not needed without traces.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    quieten()
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({"service.name": "spanqa-server", "process.pid": os.getpid()}),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(f"{endpoint}/v1/traces", timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


async def end(provider: "TracerProvider") -> None:
    """Send what is left, if that does not take long."""
    threads = ThreadPoolExecutor(1, "traces")
    sent = asyncio.get_running_loop().run_in_executor(threads, provider.shutdown)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sent, END_SECONDS)
    threads.shutdown(wait=False)


def stage(name: str, kind: SpanKind = SpanKind.INTERNAL) -> AbstractContextManager[Span]:
    """A span around a part of a call that is traced."""
    if tracer is None or not trace.get_current_span().is_recording():
        return NO_SPAN
    return tracer.start_as_current_span(name, kind=kind)


def begin_call(
    service: str, method: str, metadata: Callable[[], Iterable[tuple[str, Any]] | None]
) -> Span:
    """Begin the span of a call that comes in, as a part of its caller's trace if it brings one.

    It stays current in the call's own task: a stream that is dropped ends in another one, where
    that could not be taken back.
    """
    if tracer is None:
        return trace.INVALID_SPAN
    parent = W3C.extract(dict(metadata() or ()))
    named = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}
    span = tracer.start_span(f"{service}/{method}", parent, SpanKind.SERVER, named)
    context.attach(trace.set_span_in_context(span))
    return span


def end_call(span: Span, code: int, fault: str) -> None:
    """End such a span with gRPC's status code, and with what went wrong by the server's fault."""
    span.set_attribute("rpc.grpc.status_code", code)
    if fault:
        span.set_status(Status(StatusCode.ERROR, fault))
    span.end()


def outgoing() -> tuple[tuple[str, str], ...] | None:
    """The metadata that makes another server's spans a part of this trace, if there is one."""
    if tracer is None or not trace.get_current_span().is_recording():
        return None
    carrier: dict[str, str] = {}
    W3C.inject(carrier)
    return tuple(carrier.items())


def ids() -> tuple[str, str] | None:
    """Trace and span of the call under way, in hexadecimal, if there are any."""
    if tracer is None:
        return None
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return None
    return trace.format_trace_id(here.trace_id), trace.format_span_id(here.span_id)


class Seldom(logging.Filter):
    """Lets one record a minute through, as a warning of one line."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created < self._next:
            return False
        self._next = record.created + TOLD_SECONDS
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = None
        return True


def quieten() -> None:
    """A collector that is away is no emergency: its exporter would log each batch."""
    seldom = Seldom()
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith(EXPORTERS):
            logging.getLogger(name).addFilter(seldom)
