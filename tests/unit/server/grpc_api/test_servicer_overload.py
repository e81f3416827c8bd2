"""What a full server says, to whom, and that it has room again."""

import asyncio
from typing import Any

from google.rpc import code_pb2

from spanqa.v1 import question_answering_pb2 as pb
from unit.server.grpc_api.stage import Service, pair, serving

MEMORY = 130_000
HELD = "the light keeper " * 60  # two calls with it do not fit, nor two pairs


def documents(*texts: str) -> Any:
    made = [pb.Document(text=text) for text in texts]
    return pb.AnswerFromDocumentsRequest(question="who ?", documents=made)


def logits(context: str) -> Any:
    return pb.ComputeLogitsRequest(question="who ?", context=context)


async def hold_one(service: Service) -> tuple[asyncio.Event, Any]:
    """A call that stays at the model until it is let go."""
    gate = service.model.hold("keeper")
    call = service.stub.Answer(pair(context=HELD))
    await service.model.until(lambda: service.model.under_way == 1)
    return gate, call


async def test_a_full_server_refuses_at_once_and_says_when_to_come_again() -> None:
    async with serving(memory=MEMORY) as service:
        gate, call = await hold_one(service)
        for refused in (
            service.stub.Answer(pair(context=HELD)),
            service.stub.AnswerFromDocuments(documents(HELD)),
            service.stub.ComputeLogits(logits(HELD)),
        ):
            refusal = await service.refusal(refused)
            assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
            assert "too much accepted work is waiting; try again in " in refusal.message
            assert 800 <= int(refusal.trailers["grpc-retry-pushback-ms"]) <= 1200
        assert service.model.under_way == 1
        gate.set()
        await call
        assert (await service.stub.Answer(pair(context=HELD))).answers


async def test_what_can_never_succeed_is_not_told_to_come_again() -> None:
    async with serving(memory=MEMORY) as service:
        gate, call = await hold_one(service)
        refusal = await service.refusal(service.stub.Answer(pair(context="a" * 3_000_000)))
        assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ["context"])
        refusal = await service.refusal(service.stub.Answer(pair(context=HELD, top_k=-1)))
        assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ["options.top_k"])
        gate.set()
        await call


async def test_a_cancelled_call_leaves_its_room() -> None:
    async with serving(memory=MEMORY) as service:
        _, call = await hold_one(service)
        call.cancel()
        await service.model.until(lambda: service.model.under_way == 0)
        service.model.gates.clear()
        assert (await service.stub.Answer(pair(context=HELD), wait_for_ready=True)).answers


async def test_pairs_of_batches_and_streams_wait() -> None:
    batch = pb.BatchAnswerRequest(requests=[pair(context=HELD) for _ in range(6)])

    async def stream() -> Any:
        for number in range(6):
            yield pb.StreamAnswerRequest(id=str(number), request=pair(context=HELD))

    async with serving(memory=MEMORY) as service:
        batch_call = service.stub.BatchAnswer(batch)
        streamed = [response async for response in service.stub.StreamAnswer(stream())]
        items = [*(await batch_call).items, *streamed]
        assert {item.WhichOneof("result") for item in items} == {"response"}
        assert service.model.most == 1, "two do not fit at a time"


async def test_pairs_that_wait_too_long_leave_no_trace() -> None:
    batch = pb.BatchAnswerRequest(requests=[pair(context=HELD), pair("where ?", HELD)])
    async with serving(memory=MEMORY, default_timeout=0.3) as service:
        service.model.hold("where")
        service.model.hold("who")
        late = await service.stub.BatchAnswer(batch)
        assert [item.error.code for item in late.items] == [code_pb2.DEADLINE_EXCEEDED] * 2
        assert service.model.most == 1, "one never had a turn"
        service.model.gates.clear()
        response = await service.stub.BatchAnswer(batch)
        assert [item.WhichOneof("result") for item in response.items] == ["response"] * 2
