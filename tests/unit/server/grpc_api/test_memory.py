"""What a call took is free again as soon as it has ended, without the garbage collector."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import InferenceError
from spanqa_server.qa.requests import Question
from unit.server.grpc_api.stage import Service, pair, serving

OF_OTHERS: list[Question] = []


def questions() -> list[Question]:
    return [one for one in gc.get_objects() if type(one) is Question]


@pytest.fixture(autouse=True)
def _no_garbage_collector() -> Iterator[None]:
    gc.collect()
    OF_OTHERS[:] = questions()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        OF_OTHERS.clear()


def documents(**options: Any) -> pb.AnswerFromDocumentsRequest:
    made = pb.AnswerOptions(**options)
    given = [pb.Document(text="the light keeper")] * 3
    return pb.AnswerFromDocumentsRequest(question="who ?", documents=given, options=made)


async def stream(*pairs: Any) -> Any:
    for number, one in enumerate(pairs):
        yield pb.StreamAnswerRequest(id=str(number), request=one)


async def nothing_is_left() -> None:
    """Soon: a caller may know of the end of a call before all of it has ended."""
    async with asyncio.timeout(5):
        while len(questions()) > len(OF_OTHERS):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("problem", ["refused", "failed", "cancelled"])
@pytest.mark.parametrize("method", ["Answer", "AnswerFromDocuments"])
async def test_a_call_leaves_nothing(service: Service, problem: str, method: str) -> None:
    options: dict[str, Any] = {"top_k": -1} if problem == "refused" else {}
    if problem == "failed":
        service.model.errors["keeper"] = InferenceError("no answer")
    if problem == "cancelled":
        service.model.hold("keeper")
    request = pair(**options) if method == "Answer" else documents(**options)
    call = getattr(service.stub, method)(request)
    if problem == "cancelled":
        await service.model.until(lambda: service.model.under_way == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    else:
        with pytest.raises(grpc.aio.AioRpcError):
            await call
    service.model.errors.clear()  # an error knows where it was raised
    await nothing_is_left()


async def test_batches_and_streams_leave_nothing(service: Service) -> None:
    service.model.errors["keeper"] = InferenceError("no answer")
    pairs = [pair(), pair(top_k=-1), pair(context="the old lighthouse")]
    batch = await service.stub.BatchAnswer(pb.BatchAnswerRequest(requests=pairs))
    assert [item.HasField("error") for item in batch.items] == [True, True, False]
    streamed = [one async for one in service.stub.StreamAnswer(stream(*pairs))]
    assert sum(one.HasField("error") for one in streamed) == 2
    service.model.errors.clear()
    await nothing_is_left()


async def test_an_underestimated_call_is_admitted_again_with_what_it_takes() -> None:
    dense = ", . " * 3000  # an estimate says half of its tokens
    async with serving(memory=3_000_000) as service:
        gate = service.model.hold(",")
        call = service.stub.Answer(pair(context=dense))
        await service.model.until(lambda: service.model.under_way == 1)
        assert service.admission._calls.taken > 80 * 6000
        gate.set()
        assert (await call).answers
        [streamed] = [one async for one in service.stub.StreamAnswer(stream(pair(context=dense)))]
        assert streamed.response.answers
