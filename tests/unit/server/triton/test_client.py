"""Inference: what goes to Triton, what comes back, and what each of its faults is to a caller."""

import asyncio
from contextlib import AsyncExitStack
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
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.scheduling.call import Call, working_for
from spanqa_server.scheduling.deadline import Deadline
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.triton.protocol import MOST_CHARACTERS, gist, map_error
from support.fake_triton import FakeTriton, echo, fake_triton, give, refuse, reply
from support.triton import LIMITS, inference, make_windows

Code = grpc.StatusCode
PACKED = make_windows(1, [9])


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
    triton.infer = refuse(code, details)
    budget = TokenBudget(100)
    async with inference(triton.address, budget=budget) as model:
        with pytest.raises(ServerError) as raised:
            await model.infer(PACKED)
        assert type(raised.value) is expected
        assert details in str(raised.value) or expected in (DeadlineError, OverloadedError)
        triton.infer = echo
        await model.infer(PACKED)
    tries = 4 if code in (Code.UNAVAILABLE, Code.CANCELLED) else 1
    assert len(triton.requests) == tries + 1
    assert budget.in_flight == 0


def test_an_error_without_details() -> None:
    metadata = grpc.aio.Metadata()
    error = grpc.aio.AioRpcError(Code.UNAVAILABLE, metadata, metadata, details=None)
    assert type(map_error(error)) is ModelUnavailableError


async def test_nobody_listens() -> None:
    async with fake_triton() as gone:
        pass
    async with inference(gone.address) as model:
        with pytest.raises(ModelUnavailableError, match="cannot be reached"):
            await model.infer(PACKED)


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
    ("starts", "ends", "told"),
    [
        ([], [], "0 bytes for start_logits__0, not 36"),
        ([0.0] * 9, [], "0 bytes for end_logits__1, not 36"),
        ([0.0] * 8, [0.0] * 9, "32 bytes for start"),
        ([0.0] * 9, [0.0] * 10, "40 bytes for end"),
        ([np.nan] * 9, [0.0] * 9, "start_logits__0 that contain"),
        ([0.0] * 9, [np.inf] * 9, "contain NaN or infinity"),
    ],
)
async def test_answers_that_are_no_answer(
    triton: FakeTriton, starts: list[float], ends: list[float], told: str
) -> None:
    outputs = {"start_logits__0": starts, "end_logits__1": ends}
    triton.infer = give(reply(**{name: values for name, values in outputs.items() if values}))
    async with inference(triton.address) as model:
        with pytest.raises(InferenceError, match=told):
            await model.infer(PACKED)


async def test_outputs_may_come_in_any_order(triton: FakeTriton) -> None:
    triton.infer = give(reply(end_logits__1=[2.0] * 9, start_logits__0=[1.0] * 9))
    async with inference(triton.address) as model:
        logits = await model.infer(PACKED)
    assert (set(logits.starts), set(logits.ends)) == ({1.0}, {2.0})


VOCABULARY = f"input_ids must be 0 to {LIMITS.vocabulary - 1}"
EMPTY = "window_lengths must hold at least one window, and none"


@pytest.mark.parametrize(
    ("change", "defect"),
    [
        ({"input_ids": [1, 2, LIMITS.vocabulary]}, VOCABULARY),
        ({"input_ids": [1, -1, 2]}, VOCABULARY),
        ({"token_type_ids": [0, 1, 2]}, "token_type_ids must be 0 or 1"),
        ({"token_type_ids": [0, 1]}, "token_type_ids has 2 entries, input_ids 3"),
        ({"window_lengths": [2]}, "window_lengths sum to 2, input_ids has 3 entries"),
        ({"window_lengths": [2**31 - 1, 4]}, f"window_lengths sum to {2**31 + 3}, input_ids has 3"),
        ({"window_lengths": [3, 0]}, EMPTY),
        ({"window_lengths": [4, -1]}, EMPTY),
        ({"window_lengths": []}, EMPTY),
        (
            {name: [1] * 513 for name in ("input_ids", "token_type_ids")}
            | {"window_lengths": [513]},
            "a window has 513 tokens, the model takes 512",
        ),
    ],
)
async def test_what_would_fail_a_whole_batch_is_not_sent(
    triton: FakeTriton, change: dict[str, list[int]], defect: str
) -> None:
    tensors = {"input_ids": [1, 5, 2], "token_type_ids": [0, 1, 1], "window_lengths": [3]} | change
    packed = PackedWindows(**{name: np.array(v, np.int32) for name, v in tensors.items()})
    reason = f"^not sent, because the model cannot take it: {defect}"
    async with inference(triton.address) as model:
        with pytest.raises(InferenceError, match=reason):
            await model.infer(packed)
    assert triton.requests == []


async def test_a_probe_goes_past_the_budget_all_at_once(triton: FakeTriton) -> None:
    all_there = asyncio.Barrier(4)

    async def together(request: Any, context: Any) -> Any:
        await all_there.wait()
        return await echo(request, context)

    triton.infer = together
    packed, budget = make_windows(1, [9] * 4), TokenBudget(9)
    async with (
        asyncio.timeout(20),
        inference(triton.address, budget=budget, chunk=9) as model,
        budget.reserve(9),
    ):
        logits = await model.triton.probe(packed, "1", triton.address)
        triton.infer = refuse(Code.INTERNAL, "CUDA out of memory")
        with pytest.raises(InferenceError, match="CUDA out of memory"):
            await model.triton.probe(packed, "1", triton.address)
    assert logits.starts.tolist() == packed.input_ids.tolist()
    assert logits.ends.tolist() == (packed.input_ids - 0.5).tolist()


async def test_beside_others_work_goes_window_by_window(triton: FakeTriton) -> None:
    budget = TokenBudget(2048)
    far = Deadline.after(1000.0)
    async with AsyncExitStack() as held, inference(triton.address, budget=budget) as model:
        with working_for(Call("many", far)):
            await held.enter_async_context(budget.reserve(2048))
        with working_for(Call("one", far)):
            await model.infer(make_windows(1, [9]))
        await held.aclose()
        packed = make_windows(2, [300] * 4)
        with working_for(Call("many", far)):
            logits = await model.infer(packed)
    sent = [len(triton.inputs(at)["window_lengths"]) for at in range(len(triton.requests))]
    assert sent == [1] * 5
    assert logits.starts.tolist() == packed.input_ids.tolist()
