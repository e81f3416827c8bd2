"""What is recorded of each call: metrics, a span if it is traced, a line in the log at DEBUG."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import logging
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import grpc
from prometheus_client import Counter, Histogram

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.qa.results import Cost
from spanqa_server.telemetry import tracing
from spanqa_server.telemetry.metrics import (
    CALL_SECONDS,
    CALLS,
    CONTEXT_TOKENS,
    QUESTION_TOKENS,
    STAGE_SECONDS,
    WINDOWS,
    WORKER_CALLS,
)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

logger = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["QuestionAnsweringService"]
OUTCOMES = {
    grpc.StatusCode.OK: "answered",
    grpc.StatusCode.CANCELLED: "cancelled",
    grpc.StatusCode.INVALID_ARGUMENT: "refused",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "refused",
    grpc.StatusCode.UNAUTHENTICATED: "refused",
}
# By OpenTelemetry's conventions these are the server's errors; all others are the caller's.
FAULTS = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}

STAGES = {stage: STAGE_SECONDS.labels(stage) for stage in ("tokenize", "queue", "infer", "decode")}


@cache
def metrics_of(method: str, code: grpc.StatusCode) -> tuple[Counter, Histogram]:
    """Of calls that end so. Finding them by their labels takes longer than counting."""
    outcome = OUTCOMES.get(code, "failed")
    return CALLS.labels(method, code.name), CALL_SECONDS.labels(method, outcome)


def note_call(method: str, context: Context) -> Callable[[grpc.StatusCode, str], None]:
    """Record that a call begins; the returned function records its end, with status and text."""
    begin = perf_counter()
    span = tracing.begin_call(SERVICE.full_name, method, lambda: context.invocation_metadata())

    def end(code: grpc.StatusCode, details: str) -> None:
        seconds = perf_counter() - begin
        calls, call_seconds = metrics_of(method, code)
        calls.inc()
        WORKER_CALLS.inc()
        call_seconds.observe(seconds)
        if span.is_recording():
            fault = f"{code.name}: {details}" if code in FAULTS else ""
            tracing.end_call(span, code.value[0], fault)
        if logger.isEnabledFor(logging.DEBUG):
            fields = {"method": method, "code": code.name, "milliseconds": round(1e3 * seconds, 3)}
            logger.debug("%s %s %.1f ms", method, code.name, 1e3 * seconds, extra=fields)

    return end


def note_cost(cost: Cost) -> None:
    """Count an answered request."""
    for stage, histogram in STAGES.items():
        histogram.observe(getattr(cost.seconds, stage))
    QUESTION_TOKENS.inc(cost.question_tokens)
    CONTEXT_TOKENS.inc(cost.context_tokens)
    WINDOWS.inc(cost.windows)
