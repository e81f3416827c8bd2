"""The inference client against a server that plays Triton, with Triton's own faults."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
    StartupError,
)
from spanqa_server.qa.windows import PackedWindows, pack_windows, plan_windows
from spanqa_server.triton.client import build_request, channel_target, map_error
from spanqa_server.triton.dispatcher import TokenBudget
from unit.server.triton.fake_triton import (
    FakeTriton,
    connected,
    echo,
    give,
    hang,
    refuse,
    reply,
    running_triton,
)

Code = grpc.StatusCode


@pytest_asyncio.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with running_triton() as fake:
        yield fake


def pack(context_tokens: int = 4) -> PackedWindows:
    """Windows of 9 tokens, 4 of them of the context and 1 of these shared."""
    context = np.arange(100, 100 + context_tokens, dtype=np.int32)
    question = np.array([7, 8], dtype=np.int32)
    return pack_windows(question, context, plan_windows(context_tokens, 4, 1), cls_id=1, sep_id=2)


def test_request() -> None:
    packed = pack(7)
    request = build_request("bert_qa", "3", packed, 2)
    assert (request.model_name, request.model_version) == ("bert_qa", "3")
    assert request.parameters["priority"].uint64_param == 2
    told = [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in request.inputs]
    assert told == [
        ("input_ids", "INT32", [1, 18]),
        ("token_type_ids", "INT32", [1, 18]),
        ("window_lengths", "INT32", [1, 2]),
    ]
    arrays = [np.frombuffer(raw, dtype=np.int32) for raw in request.raw_input_contents]
    for array, expected in zip(
        arrays, (packed.input_ids, packed.token_type_ids, packed.window_lengths), strict=True
    ):
        assert array.tolist() == expected.tolist()


async def test_logits_of_one_chunk(triton: FakeTriton) -> None:
    packed, budget = pack(), TokenBudget(100)
    async with connected(triton.address, budget=budget) as inference:
        logits = await inference.infer(packed)
    assert logits.starts.tolist() == packed.input_ids.tolist()
    assert logits.ends.tolist() == (packed.input_ids - 0.5).tolist()
    assert logits.starts.dtype == logits.ends.dtype == np.float32
    assert logits.queue_seconds >= 0
    assert logits.infer_seconds > 0
    [request] = triton.requests
    assert request.parameters["priority"].uint64_param == 1
    assert budget.in_flight == 0


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
    assert [request.parameters["priority"].uint64_param for request in triton.requests] == [2] * 4
    lengths = sorted(triton.inputs(at)["window_lengths"] for at in range(4))
    assert lengths == [[9], [9] * 3, [9] * 3, [9] * 3]
    assert min(logits.queue_seconds, logits.infer_seconds) >= 0


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (Code.UNAVAILABLE, "Request timeout expired", DeadlineError),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", DeadlineError),
        (Code.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size", OverloadedError),
        (Code.UNAVAILABLE, "Server is stopping, scheduler", ModelUnavailableError),
        (Code.NOT_FOUND, "Request for unknown model: 'bert_qa'", ModelUnavailableError),
        (Code.INVALID_ARGUMENT, "unexpected shape for input", InferenceError),
        (Code.INTERNAL, "PyTorch execute failure", InferenceError),
        (Code.UNKNOWN, "", InferenceError),
    ],
)
async def test_what_triton_refuses(
    triton: FakeTriton, code: Code, details: str, expected: type[ServerError]
) -> None:
    triton.behave = refuse(code, details)
    budget = TokenBudget(100)
    async with connected(triton.address, budget=budget) as inference:
        with pytest.raises(ServerError) as raised:
            await inference.infer(pack())
        assert type(raised.value) is expected
        assert details in str(raised.value) or expected in (DeadlineError, OverloadedError)
        triton.behave = echo
        await inference.infer(pack())
    assert len(triton.requests) == 2, "it was tried again"
    assert budget.in_flight == 0


def test_an_error_without_details() -> None:
    metadata = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(Code.UNAVAILABLE, metadata, metadata, details=None)
    assert type(map_error(error)) is ModelUnavailableError


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (reply(), "0 bytes as start_logits__0, not 36"),
        (reply(start_logits__0=[0.0] * 9), "0 bytes as end_logits__1, not 36"),
        (reply(start_logits__0=[0.0] * 8, end_logits__1=[0.0] * 9), "32 bytes as start"),
        (reply(start_logits__0=[0.0] * 9, end_logits__1=[0.0] * 10), "40 bytes as end"),
        (reply(start_logits__0=[np.nan] * 9, end_logits__1=[0.0] * 9), "start_logits__0 that are"),
        (reply(start_logits__0=[0.0] * 9, end_logits__1=[np.inf] * 9), "not finite numbers"),
    ],
)
async def test_answers_that_are_no_answer(triton: FakeTriton, response: Any, told: str) -> None:
    triton.behave = give(response)
    async with connected(triton.address) as inference:
        with pytest.raises(InferenceError, match=told):
            await inference.infer(pack())


async def test_outputs_may_come_in_any_order(triton: FakeTriton) -> None:
    triton.behave = give(reply(end_logits__1=[2.0] * 9, start_logits__0=[1.0] * 9))
    async with connected(triton.address) as inference:
        logits = await inference.infer(pack())
    assert (set(logits.starts), set(logits.ends)) == ({1.0}, {2.0})


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
            await context.abort(Code.UNAVAILABLE, "Exceeds maximum queue size")
        return await hang(request, context)

    triton.behave = first_fails
    budget = TokenBudget(1000)
    async with connected(triton.address, budget=budget, max_chunk_tokens=30) as inference:
        with pytest.raises(OverloadedError):
            await inference.infer(pack(31))
    assert (budget.in_flight, budget.waiting) == (0, 0)


async def test_nobody_listens() -> None:
    async with running_triton() as gone:
        address = gone.address
    async with connected(address) as inference:
        with pytest.raises(ModelUnavailableError, match="cannot be reached"):
            await inference.infer(pack())
        assert not await inference.is_ready(within=5)


async def test_is_ready(triton: FakeTriton) -> None:
    async with connected(triton.address) as inference:
        assert await inference.is_ready(within=5)
        triton.ready = False
        assert not await inference.is_ready(within=5)


async def test_several_servers_are_asked_in_turn(triton: FakeTriton) -> None:
    async with running_triton() as other, connected(triton.address, other.address) as inference:
        async with asyncio.timeout(20):
            while not (triton.asked.is_set() and other.asked.is_set()):
                await inference.infer(pack())
        before = len(triton.requests), len(other.requests)
        for _ in range(6):
            await inference.infer(pack())
        assert (len(triton.requests), len(other.requests)) == (before[0] + 3, before[1] + 3)


def test_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert channel_target(["triton:8001"]) == "triton:8001"
    assert channel_target(["127.0.0.1:1", "127.0.0.2:2"]) == "ipv4:127.0.0.1:1,127.0.0.2:2"
    assert channel_target(["localhost:1", "127.0.0.1:1"]) == "ipv4:127.0.0.1:1"

    def unknown(*arguments: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StartupError, match=r"^--triton b:2: Name or service not known$"):
        channel_target(["b:2", "c:3"])
