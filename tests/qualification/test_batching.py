"""Batches form: 400 questions from 32 callers at a time."""

import asyncio
from collections.abc import Callable

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from support.callers import REQUESTS
from support.qualified import Qualified
from support.steady import connected
from support.triton import model_statistics

QUESTIONS, CALLERS, MEAN_BATCH = 400, 32, 8.0
FILLER = "The rain fell all day and nobody in the village said a word about the matter. "


def batches(qualified: Qualified) -> tuple[float, float] | None:
    """Requests and batches so far; None where Triton's statistics are closed."""
    if qualified.triton:
        return qualified.triton.batches()
    try:
        told = model_statistics(qualified.address, qualified.number)
    except grpc.RpcError as error:
        if "restricted" not in (error.details() or ""):
            raise
        return None
    return told.inference_count, told.execution_count


def questions() -> list[pb.AnswerRequest]:
    """Short texts and longer ones."""
    made = []
    for number in range(QUESTIONS):
        one = REQUESTS[number % len(REQUESTS)]
        context = one.context + FILLER * (3 * number % 16)
        made.append(pb.AnswerRequest(question=one.question, context=context))
    return made


async def test_the_mean_batch_at_32_callers(
    qualified: Qualified, say: Callable[[str], None]
) -> None:
    room, failures = asyncio.Semaphore(CALLERS), []
    before = batches(qualified)
    async with connected(qualified.front.target, 4) as stubs, asyncio.TaskGroup() as group:

        async def ask(number: int, request: pb.AnswerRequest) -> None:
            async with room:
                try:
                    await stubs[number % len(stubs)].Answer(request, timeout=60)
                except grpc.aio.AioRpcError as error:
                    failures.append(f"{error.code().name}: {error.details()}")

        for number, request in enumerate(questions()):
            group.create_task(ask(number, request))
    told = f"{QUESTIONS} questions from {CALLERS} callers: {len(failures)} failed"
    if before is None:
        say(told)
        assert not failures
        pytest.skip("the mean batch is not known: this Triton's statistics are closed")
    after = before
    while after[0] - before[0] < QUESTIONS:  # counted after they are answered
        after = batches(qualified) or after
    mean = (after[0] - before[0]) / (after[1] - before[1])
    say(f"{told}, mean batch {mean:.1f}")
    assert not failures
    assert mean > MEAN_BATCH
