"""Calls that nobody waits for any more: their work at Triton is dropped, their room is free."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import RunningServer, running_server
from support.triton import address_of, canaries_of, make_windows, model_statistics, triton_at

CALLS = 40
SPECIAL_TOKENS = 3
# Refused would be what looks as if it took longer.
DEADLINE_SECONDS, BUSY_SECONDS = 5.0, 7.0
REQUEST = pb.AnswerRequest(
    question="Where was she born?", context="She was born in Warsaw, they say. " * 30
)
IN_FLIGHT = "spanqa_triton_tokens_in_flight"


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


@dataclass(frozen=True, slots=True)
class Computed:
    """What the model has done in batches of one size: requests, and seconds of its time."""

    count: int = 0
    seconds: float = 0.0

    def __sub__(self, other: "Computed") -> "Computed":
        return Computed(self.count - other.count, self.seconds - other.seconds)


def computed(address: str) -> defaultdict[int, Computed]:
    """By the size of the batch, in Triton's own statistics."""
    found: defaultdict[int, Computed] = defaultdict(Computed)
    for batch in model_statistics(address).batch_stats:
        done = batch.compute_infer
        found[batch.batch_size] = Computed(done.count * batch.batch_size, done.ns / 1e9)
    return found


def admitted(metrics: dict[str, float]) -> float:
    return sum(n for name, n in metrics.items() if name.startswith("spanqa_admitted_bytes"))


async def queue_calls(server: RunningServer, stub: Any, tokens: int, seconds: float) -> list[Any]:
    """Calls of so many tokens each, all of them at Triton by the end."""
    calls = [stub.Answer(REQUEST, timeout=seconds) for _ in range(CALLS)]
    await asyncio.to_thread(
        server.wait_for_metrics, lambda now: now[IN_FLIGHT] == tokens * CALLS, seconds
    )
    assert admitted(server.metrics()) > 0
    return calls


@pytest.mark.slow  # it measures, and wants the machine for itself
@pytest.mark.parametrize("how", ["cancelled", "deadline"])
async def test_work_of_calls_that_were_given_up_is_dropped(
    alone: RunningServer, stub: Any, how: str
) -> None:
    address = address_of(alone)
    at_first = computed(address)
    # Triton counts a batch after its answers are out, but before the next one.
    for _ in range(4):
        usage = (await stub.Answer(REQUEST, timeout=30)).usage
    assert usage.windows == 1
    tokens = usage.question_tokens + usage.context_tokens + SPECIAL_TOKENS
    before = computed(address)
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
    await stub.Answer(REQUEST, timeout=30)
    after = computed(address)
    # It counts requests whatever became of them, and how long their batch took; none but those
    # that were given up can have been in a batch of several.
    several = [after[size] - before[size] for size in after if size > 1]
    count, seconds = sum(one.count for one in several), sum(one.seconds for one in several)
    usual = before[1] - at_first[1]
    print(
        f"{count} of {CALLS} that were given up took {seconds / count * 1e3:.2f} ms each, "
        f"one that is wanted takes {usual.seconds / usual.count * 1e3:.0f} ms"
    )
    canaries = 1 + canaries_of(alone)
    assert CALLS / 2 < count <= CALLS + canaries, "trial questions are given up, too"
    assert seconds / count < usual.seconds / usual.count / 10
