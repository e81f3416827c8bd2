"""Spans of calls and stages, without a collector and with one that is away."""

import asyncio
import logging
from time import monotonic
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanKind

from spanqa_server.telemetry import tracing
from support.collector import collector

TRACEPARENT = ("traceparent", f"00-{7:032x}-{9:016x}-01")


async def call(metadata: Any) -> tuple[tuple[str, str], ...]:
    """A call with one stage; returns what Triton would be sent."""
    span = tracing.begin_call("a.B", "C", lambda: metadata)
    with tracing.stage("infer", SpanKind.CLIENT):
        sent = tracing.outgoing()
    tracing.end_call(span, 0, "")
    return sent or ()


def run(metadata: Any) -> tuple[tuple[str, str], ...]:
    """In a task of its own, as gRPC does."""
    return asyncio.run(call(metadata))


def test_without_a_collector_there_is_nothing() -> None:
    assert tracing.stage("queue") is tracing.NO_SPAN is tracing.stage("decode")
    assert run((TRACEPARENT,)) == ()
    assert tracing.ids() is None


@pytest.mark.parametrize("metadata", [None, (), (("traceparent", "none"), ("x-bin", b"\xff"))])
def test_any_other_call_begins_one(metadata: Any, ended: InMemorySpanExporter) -> None:
    run(metadata)
    run(metadata)
    traces = {span.context.trace_id for span in ended.get_finished_spans() if span.context}
    assert len(traces) == 2


def test_outside_of_calls_there_are_no_stages(ended: InMemorySpanExporter) -> None:
    with tracing.stage("tokenize"):
        pass
    assert not ended.get_finished_spans()


@pytest.mark.parametrize(
    ("ratio", "decision"), [(0.0, Decision.DROP), (1.0, Decision.RECORD_AND_SAMPLE)]
)
def test_the_ratio_is_of_calls_that_bring_no_trace(ratio: float, decision: Decision) -> None:
    provider = tracing.make_provider("http://127.0.0.1:1", ratio)
    try:
        assert provider.sampler.should_sample(None, 1 << 100, "x").decision is decision
        caller = trace.SpanContext(1 << 100, 1, True, trace.TraceFlags(1))
        parent = trace.set_span_in_context(trace.NonRecordingSpan(caller))
        sampled = provider.sampler.should_sample(parent, 1 << 100, "x")
        assert sampled.decision is Decision.RECORD_AND_SAMPLE
    finally:
        provider.shutdown()


async def test_what_is_left_is_sent_at_the_end() -> None:
    with collector() as listening:
        async with tracing.traces(listening.endpoint, 1.0):
            await asyncio.create_task(call(None))
        assert {span.name for span in listening.spans} == {"a.B/C", "infer"}
        assert tracing.tracer is None


async def test_the_end_does_not_wait_for_a_collector_that_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    async with tracing.traces("http://127.0.0.1:1", 1.0):
        await asyncio.create_task(call(None))
        begin = monotonic()
    assert monotonic() - begin < 2
    assert ticks > 10, "the event loop goes on"
    ticking.cancel()
    assert [line.levelname for line in caplog.records] == ["WARNING"]


def test_an_exporter_that_fails_is_told_once_a_minute() -> None:
    seldom = tracing.Seldom()
    lines = [logging.LogRecord("x", logging.ERROR, "", 0, "bad", (), None) for _ in range(3)]
    for line, seconds in zip(lines, (100.0, 159.0, 161.0), strict=True):
        line.created = seconds
    assert [seldom.filter(line) for line in lines] == [True, False, True]
    assert lines[0].levelname == "WARNING"
