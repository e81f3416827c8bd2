"""The inference client against a server that plays Triton, with Triton's own faults."""

import asyncio
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
from spanqa_server.qa.windows import PackedWindows, TensorLimits
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.triton.client import VersionInference
from spanqa_server.triton.protocol import MOST_CHARACTERS, build_request, gist, map_error
from unit.server.triton.fake_triton import (
    LIMITS,
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
    ("text", "told"),
    [
        ("", ""),
        ("out of memory", "out of memory"),
        (
            "failed to load model: no zip archive.\nframe #0: 0x9d (in libc10.so)\n",
            "failed to load model: no zip archive.",
        ),
        (
            "execute failure: it failed in the TorchScript interpreter.\n"
            "Traceback of TorchScript (most recent call last):\n"
            '  File "bert.py", line 3, in forward\n'
            "RuntimeError: 513 tokens, the model has 512 positions\n",
            "execute failure: it failed in the TorchScript interpreter. … "
            "RuntimeError: 513 tokens, the model has 512 positions",
        ),
        ("x" * 1000, "x" * MOST_CHARACTERS + "…"),
    ],
)
def test_the_gist_of_what_triton_says(text: str, told: str) -> None:
    assert gist(text) == told


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (reply(), "0 bytes for start_logits__0, not 36"),
        (reply(start_logits__0=[0.0] * 9), "0 bytes for end_logits__1, not 36"),
        (reply(start_logits__0=[0.0] * 8, end_logits__1=[0.0] * 9), "32 bytes for start"),
        (reply(start_logits__0=[0.0] * 9, end_logits__1=[0.0] * 10), "40 bytes for end"),
        (
            reply(start_logits__0=[np.nan] * 9, end_logits__1=[0.0] * 9),
            "start_logits__0 that contain",
        ),
        (reply(start_logits__0=[0.0] * 9, end_logits__1=[np.inf] * 9), "contain NaN or infinity"),
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
            await VersionInference(client, version, LIMITS).infer(pack())
    assert [request.model_version for request in triton.requests] == ["4", "7"]


@pytest.mark.parametrize("through", ["infer", "probe"])
@pytest.mark.parametrize(
    ("change", "defect"),
    [
        (
            {"input_ids": [1, 2, LIMITS.vocabulary]},
            f"input_ids must be 0 to {LIMITS.vocabulary - 1}",
        ),
        ({"input_ids": [1, -1, 2]}, f"input_ids must be 0 to {LIMITS.vocabulary - 1}"),
        ({"token_type_ids": [0, 1, 2]}, "token_type_ids must be 0 or 1"),
        ({"token_type_ids": [0, 1]}, "token_type_ids has 2 entries, input_ids 3"),
        ({"window_lengths": [2]}, "window_lengths sum to 2, input_ids has 3 entries"),
        ({"window_lengths": [2**31 - 1, 4]}, f"window_lengths sum to {2**31 + 3}, input_ids has 3"),
        ({"window_lengths": [3, 0]}, "window_lengths must hold at least one window, and none"),
        ({"window_lengths": [4, -1]}, "window_lengths must hold at least one window, and none"),
        ({"window_lengths": []}, "window_lengths must hold at least one window, and none"),
    ],
)
async def test_what_would_fail_a_whole_batch_is_not_sent(
    triton: FakeTriton, through: str, change: dict[str, list[int]], defect: str
) -> None:
    tensors = {"input_ids": [1, 5, 2], "token_type_ids": [0, 1, 1], "window_lengths": [3]} | change
    packed = PackedWindows(**{name: np.array(v, np.int32) for name, v in tensors.items()})
    async with connected(triton.address) as inference:
        probe = inference.probe(packed, triton.address)
        with pytest.raises(InferenceError) as raised:
            await (inference.infer(packed) if through == "infer" else probe)
        probe.close()
        await inference.infer(pack())
    assert str(raised.value).startswith(f"not sent, because the model cannot take it: {defect}")
    assert len(triton.requests) == 1


async def test_a_window_longer_than_the_model_has_positions_is_not_sent(triton: FakeTriton) -> None:
    limits = TensorLimits(vocabulary=1000, positions=8)
    async with reaching(triton.address) as client:
        with pytest.raises(InferenceError, match="a window has 9 tokens, the model takes 8"):
            await VersionInference(client, "3", limits).infer(pack(5))
    assert not triton.requests


async def test_a_probe_goes_past_the_budget_all_at_once(triton: FakeTriton) -> None:
    everything = asyncio.Event()

    async def together(request: Any, context: Any) -> Any:
        if len(triton.requests) == 4:
            everything.set()
        await everything.wait()
        return await echo(request, context)

    triton.behave = together
    packed, budget = pack(13), TokenBudget(9)
    async with (
        asyncio.timeout(20),
        connected(triton.address, budget=budget, max_chunk_tokens=9) as inference,
        budget.reserve(9, 9),
    ):
        logits = await inference.probe(packed, triton.address)
    assert logits.starts.tolist() == packed.input_ids.tolist()
    assert logits.ends.tolist() == (packed.input_ids - 0.5).tolist()


async def test_a_probe_that_fails_tells_why(triton: FakeTriton) -> None:
    triton.behave = refuse(Code.INTERNAL, "CUDA out of memory")
    async with connected(triton.address, max_chunk_tokens=9) as inference:
        with pytest.raises(InferenceError, match="CUDA out of memory"):
            await inference.probe(pack(13), triton.address)
