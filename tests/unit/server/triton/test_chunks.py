"""Long work goes to Triton in chunks: their order, their rank, and their common end."""

import asyncio
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanqa_server.errors import InferenceError
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.telemetry import tracing
from support.fake_triton import FakeTriton, echo, hang
from support.triton import inference, make_windows

LONG = make_windows(1, [9] * 10)


async def test_long_work_goes_in_chunks_and_comes_back_in_order(triton: FakeTriton) -> None:
    all_there = asyncio.Event()

    async def first_chunk_last(request: Any, context: Any) -> Any:
        if len(triton.requests) == 4:
            all_there.set()
        if request is triton.requests[0]:
            await all_there.wait()
        return await echo(request, context)

    triton.infer = first_chunk_last
    budget = TokenBudget(100)
    async with inference(triton.address, budget=budget, chunk=30) as model:
        logits = await model.infer(LONG)
    assert logits.starts.tolist() == LONG.input_ids.tolist()
    assert logits.ends.tolist() == (LONG.input_ids - 0.5).tolist()
    lengths = sorted(triton.inputs(at)["window_lengths"] for at in range(4))
    assert lengths == [[9], [9] * 3, [9] * 3, [9] * 3]
    assert min(logits.queue_seconds, logits.infer_seconds) >= 0
    assert budget.in_flight == 0


async def test_a_short_request_overtakes_the_chunks_of_a_long_one(triton: FakeTriton) -> None:
    go_on = asyncio.Event()

    async def wait_at_first(request: Any, context: Any) -> Any:
        await go_on.wait()
        return await echo(request, context)

    triton.infer = wait_at_first
    # The long request's last chunk, 9 tokens, is shorter than the short request, 18.
    budget = TokenBudget(20)
    async with inference(triton.address, budget=budget, chunk=30) as model:
        long = asyncio.create_task(model.infer(LONG))
        await triton.asked.wait()
        short = asyncio.create_task(model.infer(make_windows(2, [9, 9])))
        await asyncio.sleep(0)
        assert budget.waiting == 4
        go_on.set()
        await asyncio.gather(long, short)
    asked = [triton.inputs(at)["window_lengths"] for at in range(5)]
    assert asked == [[9] * 3, [9] * 2, [9] * 3, [9] * 3, [9]]


@pytest.mark.parametrize("chunk", [30, 4096])
async def test_a_call_that_hangs_is_given_up_with_its_deadline(
    triton: FakeTriton, ended: InMemorySpanExporter, chunk: int
) -> None:
    triton.infer = hang
    budget = TokenBudget(40)
    async with inference(triton.address, budget=budget, chunk=chunk) as model:
        limit = asyncio.timeout(None)

        async def ask() -> None:
            tracing.begin_call("a.B", "C", lambda: None)
            async with limit:
                await model.infer(LONG)

        call = asyncio.create_task(ask())
        await triton.asked.wait()
        assert budget.in_flight > 0
        limit.reschedule(0)
        with pytest.raises(TimeoutError):
            await call
        assert (budget.in_flight, budget.waiting) == (0, 0)
        async with asyncio.timeout(10):
            await triton.given_up.wait()
    assert "infer" in {span.name for span in ended.get_finished_spans()}


async def test_a_chunk_that_fails_gives_up_the_others_and_tells_its_error(
    triton: FakeTriton,
) -> None:
    async def first_fails(request: Any, context: Any) -> Any:
        if request is triton.requests[0]:
            await context.abort(grpc.StatusCode.INTERNAL, "a kernel failed")
        return await hang(request, context)

    triton.infer = first_fails
    budget = TokenBudget(1000)
    async with inference(triton.address, budget=budget, chunk=30) as model:
        with pytest.raises(InferenceError, match="a kernel failed"):
            await model.infer(LONG)
    assert (budget.in_flight, budget.waiting) == (0, 0)
