"""The inference client against a server that plays Triton, with Triton's own faults."""

from typing import Any

import grpc
import numpy as np
import pytest

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
    VersionGoneError,
)
from spanqa_server.triton.client import (
    VersionInference,
    build_request,
    map_error,
)
from spanqa_server.triton.dispatcher import TokenBudget
from unit.server.triton.fake_triton import (
    FakeTriton,
    connected,
    echo,
    give,
    pack,
    reaching,
    refuse,
    reply,
    running_triton,
)

Code = grpc.StatusCode


def test_request() -> None:
    packed = pack(7)
    request = build_request("bert_qa", "3", packed)
    assert (request.model_name, request.model_version) == ("bert_qa", "3")
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
    assert (request.model_name, request.model_version) == ("bert_qa", "3")
    assert budget.in_flight == 0


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (Code.UNAVAILABLE, "Request timeout expired", DeadlineError),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", DeadlineError),
        (Code.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size", OverloadedError),
        (Code.UNAVAILABLE, "Server is stopping, scheduler", ModelUnavailableError),
        (Code.NOT_FOUND, "no such thing", ModelUnavailableError),
        (Code.CANCELLED, "the server ends", ModelUnavailableError),
        (
            Code.NOT_FOUND,
            "Request for unknown model: 'bert_qa' version 2 is not found",
            VersionGoneError,
        ),
        (
            Code.UNAVAILABLE,
            "Request for unknown model: 'bert_qa' version 2 is not at ready state",
            VersionGoneError,
        ),
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
    tries = 4 if code in (Code.UNAVAILABLE, Code.CANCELLED) else 1
    assert len(triton.requests) == tries + 1
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


async def test_nobody_listens() -> None:
    async with running_triton() as gone:
        address = gone.address
    async with connected(address) as inference:
        with pytest.raises(ModelUnavailableError, match="cannot be reached"):
            await inference.infer(pack())


async def test_each_version_is_asked_for_by_its_number(triton: FakeTriton) -> None:
    async with reaching(triton.address) as client:
        for version in ("4", "7"):
            await VersionInference(client, version).infer(pack())
    assert [request.model_version for request in triton.requests] == ["4", "7"]
