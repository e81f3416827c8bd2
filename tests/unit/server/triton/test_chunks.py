"""Long work goes to Triton in chunks: their order, their rank, and their common end."""

import asyncio
from typing import Any

import grpc
import pytest

from spanqa_server.errors import InferenceError
from spanqa_server.scheduling.token_budget import TokenBudget
from unit.server.triton.fake_triton import FakeTriton, connected, echo, hang, pack


async def test_long_work_goes_in_chunks_and_comes_back_in_order(triton: FakeTriton) -> None:
    packed = pack(31)
    assert packed.window_lengths.tolist() == [9] * 10
    last_came = asyncio.Event()

    async def first_chunk_last(request: Any, context: Any) -> Any:
        if len(triton.requests) == 4:
            last_came.set()
        if request is triton.requests[0]:
            await last_came.wait()
        return await echo(request, context)

    triton.behave = first_chunk_last
    async with connected(triton.address, max_chunk_tokens=30) as inference:
        logits = await inference.infer(packed)
    assert logits.starts.tolist() == packed.input_ids.tolist()
    assert logits.ends.tolist() == (packed.input_ids - 0.5).tolist()
    lengths = sorted(triton.inputs(at)["window_lengths"] for at in range(4))
    assert lengths == [[9], [9] * 3, [9] * 3, [9] * 3]
    assert min(logits.queue_seconds, logits.infer_seconds) >= 0


async def test_a_short_request_overtakes_the_chunks_of_a_long_one(triton: FakeTriton) -> None:
    go_on = asyncio.Event()

    async def wait_at_first(request: Any, context: Any) -> Any:
        await go_on.wait()
        return await echo(request, context)

    triton.behave = wait_at_first
    # The long request's last chunk, 9 tokens, is shorter than the short request, 18.
    budget = TokenBudget(20)
    async with connected(triton.address, budget=budget, max_chunk_tokens=30) as inference:
        long = asyncio.create_task(inference.infer(pack(31)))
        await triton.asked.wait()
        short = asyncio.create_task(inference.infer(pack(7)))
        await asyncio.sleep(0)
        assert budget.waiting == 4
        go_on.set()
        await asyncio.gather(long, short)
    asked = [triton.inputs(at)["window_lengths"] for at in range(5)]
    assert asked == [[9] * 3, [9] * 2, [9] * 3, [9] * 3, [9]]


@pytest.mark.parametrize("chunk", [30, 4096])
async def test_a_call_that_hangs_is_given_up_with_its_deadline(
    triton: FakeTriton, chunk: int
) -> None:
    triton.behave = hang
    budget = TokenBudget(40)
    async with connected(triton.address, budget=budget, max_chunk_tokens=chunk) as inference:
        limit = asyncio.timeout(None)

        async def ask() -> None:
            async with limit:
                await inference.infer(pack(31))

        call = asyncio.create_task(ask())
        await triton.asked.wait()
        assert budget.in_flight > 0
        limit.reschedule(0)
        with pytest.raises(TimeoutError):
            await call
        assert (budget.in_flight, budget.waiting) == (0, 0)
        async with asyncio.timeout(10):
            await triton.given_up.wait()


async def test_a_chunk_that_fails_gives_up_the_others_and_tells_its_error(
    triton: FakeTriton,
) -> None:
    async def first_fails(request: Any, context: Any) -> Any:
        if request is triton.requests[0]:
            await context.abort(grpc.StatusCode.INTERNAL, "a kernel failed")
        return await hang(request, context)

    triton.behave = first_fails
    budget = TokenBudget(1000)
    async with connected(triton.address, budget=budget, max_chunk_tokens=30) as inference:
        with pytest.raises(InferenceError):
            await inference.infer(pack(31))
    assert (budget.in_flight, budget.waiting) == (0, 0)
