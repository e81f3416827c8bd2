"""Spans of inference; what is cancelled ends at Triton all the same."""

import asyncio

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from spanqa_server.errors import OverloadedError
from spanqa_server.telemetry import tracing
from unit.server.triton.fake_triton import FakeTriton, connected, hang, pack, refuse


def named(ended: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in ended.get_finished_spans()}


async def test_a_request_is_two_spans(triton: FakeTriton, ended: InMemorySpanExporter) -> None:
    span = tracing.begin_call("a.B", "C", lambda: None)
    packed = pack()
    async with connected(triton.address) as inference:
        await inference.infer(packed)
    tracing.end_call(span, 0, "")
    spans = named(ended)
    assert {*spans} == {"queue", "infer", "a.B/C"}
    assert spans["infer"].attributes
    told = {key: value for key, value in spans["infer"].attributes.items() if "spanqa" in key}
    assert told == {
        "spanqa.tokens": len(packed.input_ids),
        "spanqa.windows": len(packed.window_lengths),
        "spanqa.model_version": "3",
    }


async def test_a_refusal_shows(triton: FakeTriton, ended: InMemorySpanExporter) -> None:
    triton.behave = refuse(grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size")
    tracing.begin_call("a.B", "C", lambda: None)
    async with connected(triton.address) as inference:
        with pytest.raises(OverloadedError):
            await inference.infer(pack())
    assert named(ended)["infer"].status.status_code is StatusCode.ERROR


async def test_what_is_cancelled_ends_at_triton_too(
    triton: FakeTriton, ended: InMemorySpanExporter
) -> None:
    triton.behave = hang
    tracing.begin_call("a.B", "C", lambda: None)
    async with connected(triton.address) as inference:
        work = asyncio.create_task(inference.infer(pack()))
        await asyncio.wait_for(triton.asked.wait(), 10)
        work.cancel()
        await asyncio.wait_for(triton.given_up.wait(), 10)
    assert "infer" in named(ended)
