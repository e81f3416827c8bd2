"""Calls that nobody waits for any more: their work at Triton is dropped, their room is free."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import RunningServer, poll, running_server
from support.triton import address_of, canaries_of, make_windows, triton_at

CALLS, USUAL_CALLS = 40, 10
SPECIAL_TOKENS = 3
# Refused would be what looks as if it took longer.
DEADLINE_SECONDS, BUSY_SECONDS = 5.0, 7.0
REQUEST = pb.AnswerRequest(
    question="Where was she born?", context="She was born in Warsaw, they say. " * 30
)
IN_FLIGHT, WAITING = "spanqa_triton_tokens_in_flight", "spanqa_requests_waiting"


@pytest.fixture
def alone(model_repository: Path, tmp_path: Path) -> Iterator[RunningServer]:
    """A server that nobody else asks, nor has asked: it knows how fast its Triton is."""
    with running_server(model_repository, tmp_path / "log") as server:
        yield server


@pytest.fixture
async def stub(alone: RunningServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(alone.target) as channel:
        stub: Any = QuestionAnsweringServiceStub(channel)
        yield stub


@asynccontextmanager
async def busy_model(server: RunningServer) -> AsyncIterator[None]:
    """Triton takes calls, and queues them behind as many seconds of work as are needed."""
    async with triton_at(address_of(server), chunk=1 << 20) as triton:
        begin = monotonic()
        await triton.infer(make_windows(1, [384] * 20), "1")
        windows = 1 + int(20 * BUSY_SECONDS / (monotonic() - begin))
        idle = cpu_seconds(server)
        work = asyncio.create_task(triton.infer(make_windows(1, [384] * windows), "1"))
        try:
            # What comes after that is no part of its batch.
            await asyncio.to_thread(wait_for_work, server, idle + 0.3)
            yield
            assert not work.done(), "it was not long enough"
        finally:
            await work


def wait_for_work(server: RunningServer, seconds: float) -> None:
    while cpu_seconds(server) < seconds:
        pass


def cpu_seconds(server: RunningServer) -> float:
    """What the model's process has used so far."""
    model = next(child for child in server.children() if child.name().startswith("triton_python"))
    times = model.cpu_times()
    return times.user + times.system


def wait_for_pending(server: RunningServer, count: float) -> None:
    """Until at least so many requests are in Triton's queue."""
    name = "nv_inference_pending_request_count{"

    def pending() -> float:
        lines = server.metrics_page().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    poll(lambda: pending() >= count, 10.0, f"{count} requests in Triton's queue")


def admitted(metrics: dict[str, float]) -> float:
    return sum(n for name, n in metrics.items() if name.startswith("spanqa_admitted_bytes"))


async def queue_calls(server: RunningServer, stub: Any, tokens: int, seconds: float) -> list[Any]:
    """Calls of so many tokens each, by the end some at Triton, and the others behind them."""
    calls = [stub.Answer(REQUEST, timeout=seconds) for _ in range(CALLS)]
    metrics = await asyncio.to_thread(
        server.wait_for_metrics,
        lambda now: now[IN_FLIGHT] + tokens * now[WAITING] == tokens * CALLS,
        seconds,
    )
    assert metrics[IN_FLIGHT] > 0
    assert admitted(metrics) > 0
    return calls


@pytest.mark.slow  # it measures, and wants the machine for itself
@pytest.mark.parametrize("how", ["cancelled", "deadline"])
async def test_work_of_calls_that_were_given_up_is_dropped(
    alone: RunningServer, stub: Any, how: str
) -> None:
    usage = (await stub.Answer(REQUEST, timeout=30)).usage
    assert usage.windows == 1
    tokens = usage.question_tokens + usage.context_tokens + SPECIAL_TOKENS
    begin = cpu_seconds(alone)
    for _ in range(USUAL_CALLS):
        await stub.Answer(REQUEST, timeout=30)
    usual = (cpu_seconds(alone) - begin) / USUAL_CALLS
    async with busy_model(alone):
        seconds = 60 if how == "cancelled" else DEADLINE_SECONDS
        calls = await queue_calls(alone, stub, tokens, seconds)
        if how == "cancelled":
            for call in calls:
                call.cancel()
        codes = {(await call.code()).name for call in calls}
        assert codes == {"CANCELLED" if how == "cancelled" else "DEADLINE_EXCEEDED"}
        await asyncio.to_thread(alone.wait_until_idle, 1.0)
        assert admitted(alone.metrics()) == 0
    begin, canaries = cpu_seconds(alone), canaries_of(alone)
    await stub.Answer(REQUEST, timeout=30)
    # Trial questions are short.
    wanted = 1 + canaries_of(alone) - canaries
    used = (cpu_seconds(alone) - begin) / usual - wanted
    print(f"{CALLS} that were given up took as much CPU time as {used:.1f} that are wanted")
    assert used < CALLS / 10


@pytest.mark.slow
async def test_what_is_given_up_in_the_queue_of_triton_is_dropped(
    alone: RunningServer, stub: Any
) -> None:
    """Past the frontend, which keeps most of it from there; the model has two batches of it."""
    windows = make_windows(1, [300])
    async with triton_at(address_of(alone)) as triton:
        begin = cpu_seconds(alone)
        for _ in range(USUAL_CALLS):
            await triton.infer(windows, "1")
        usual = (cpu_seconds(alone) - begin) / USUAL_CALLS
        async with busy_model(alone):
            calls = [asyncio.create_task(triton.infer(windows, "1")) for _ in range(2 * CALLS)]
            await asyncio.to_thread(wait_for_pending, alone, CALLS / 4)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        begin = cpu_seconds(alone)
        await triton.infer(windows, "1")
        used = (cpu_seconds(alone) - begin) / usual - 1
    print(f"{2 * CALLS} that were given up took as much CPU time as {used:.1f} that are wanted")
    assert used < CALLS / 10
