"""StreamAnswer over a real channel: pairs as they come, answers as they are ready."""

from typing import Any

import pytest
from google.rpc import code_pb2

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import InferenceError
from unit.server.grpc_api.stage import Service, pair, read_details, serving


def message(name: str, context: str = "the light", **options: Any) -> pb.StreamAnswerRequest:
    return pb.StreamAnswerRequest(id=name, request=pair(context=context, **options))


async def read(call: Any, count: int) -> list[tuple[str, str]]:
    """The ids and codes of the next results."""
    replies = [await call.read() for _ in range(count)]
    return [(reply.id, code_pb2.Code.Name(reply.error.code)) for reply in replies]


async def test_answers_come_as_they_are_ready_while_the_stream_is_open(service: Service) -> None:
    gate = service.model.hold("sea")
    call = service.stub.StreamAnswer()
    await call.write(message("slow", "the sea"))
    await call.write(message("fast", "the light", top_k=2))
    reply = await call.read()
    alone = await service.stub.Answer(pair(context="the light", top_k=2))
    assert (reply.id, list(reply.response.answers)) == ("fast", list(alone.answers))
    assert (reply.response.model_version, len(alone.answers)) == ("3", 2)
    gate.set()
    assert await read(call, 1) == [("slow", "OK")]
    await call.write(message("", "the sea"))
    assert await read(call, 1) == [("", "OK")]
    await call.done_writing()
    assert not await call.read()
    assert service.counters.items == {("StreamAnswer", "OK"): 3}
    assert service.counters.calls == {("StreamAnswer", "OK"): 1, ("Answer", "OK"): 1}


async def test_no_pairs(service: Service) -> None:
    call = service.stub.StreamAnswer()
    await call.done_writing()
    assert [reply async for reply in call] == []
    await service.counted_once("StreamAnswer", "OK")


async def test_many_pairs(service: Service) -> None:
    async def messages() -> Any:
        for number in range(500):
            yield message(str(number), f"the light {number}")

    replies = [reply async for reply in service.stub.StreamAnswer(messages())]
    assert sorted(int(reply.id) for reply in replies) == list(range(500))
    assert {reply.WhichOneof("result") for reply in replies} == {"response"}
    assert service.model.most <= 8


async def test_a_pair_that_is_wrong_does_not_end_the_stream(service: Service) -> None:
    service.model.errors = {
        "sea": InferenceError("the model failed"),
        "Lake": RuntimeError("secret of the house"),
    }
    call = service.stub.StreamAnswer()
    for one in (message("a", "sea"), message("b", "Lake"), message("c", "", top_k=-1)):
        await call.write(one)
    await call.write(pb.StreamAnswerRequest())
    replies = {(reply := await call.read()).id: reply.error for _ in range(4)}
    assert replies["a"].message == "the model failed"
    assert replies["b"].message == "internal error; the server's log has more"
    fields = {name: read_details(replies[name])[0] for name in ("c", "")}
    assert fields == {
        "c": ["request.context", "request.options.top_k"],
        "": ["request.question", "request.context"],
    }
    await call.write(message("d"))
    assert await read(call, 1) == [("d", "OK")]
    assert service.counters.items == {
        ("StreamAnswer", "INTERNAL"): 2,
        ("StreamAnswer", "INVALID_ARGUMENT"): 2,
        ("StreamAnswer", "OK"): 1,
    }


async def test_an_id_under_way_cannot_be_had_twice(service: Service) -> None:
    gate = service.model.hold("sea")
    call = service.stub.StreamAnswer()
    other = service.stub.StreamAnswer()
    for stream in (call, other):
        await stream.write(message("7", "the sea"))
    await service.model.until(lambda: service.model.under_way == 2)
    await call.write(message("7"))
    reply = await call.read()
    assert (reply.id, read_details(reply.error)) == ("7", (["id"], "INVALID_REQUEST"))
    assert "in use by another pair of this stream" in reply.error.message
    gate.set()
    assert await read(call, 1) == await read(other, 1) == [("7", "OK")]
    await call.write(message("7"))
    assert await read(call, 1) == [("7", "OK")], "it is free again"


async def test_so_many_pairs_are_worked_on_at_once() -> None:
    async with serving(max_stream_pairs=3) as service:
        gate = service.model.hold("light")
        call = service.stub.StreamAnswer()
        for number in range(10):
            await call.write(message(str(number)))
        await service.model.until(lambda: service.model.under_way == 3)
        gate.set()
        assert len(await read(call, 10)) == 10
        assert service.model.most == 3


async def test_each_pair_has_the_servers_time_limit_of_its_own() -> None:
    async with serving(default_timeout=0.3) as service:
        service.model.hold("sea")
        call = service.stub.StreamAnswer(timeout=20)
        for name in ("a", "b"):
            await call.write(message(name, "the sea"))
            assert await read(call, 1) == [(name, "DEADLINE_EXCEEDED")]
        assert service.model.cancelled == 2
        await call.write(message("c"))
        assert await read(call, 1) == [("c", "OK")]


async def test_the_callers_deadline_ends_the_stream_and_the_work(service: Service) -> None:
    service.model.hold("sea")
    call = service.stub.StreamAnswer(timeout=0.3)
    await call.write(message("a", "the sea"))

    async def drain() -> None:
        while await call.read():
            pass

    refusal = await service.refusal(drain())
    assert refusal.code == "DEADLINE_EXCEEDED"
    await service.model.until(lambda: service.model.under_way == 0)


async def test_a_cancelled_stream_ends_the_work(service: Service) -> None:
    service.model.hold("sea")
    call = service.stub.StreamAnswer()
    for number in range(4):
        await call.write(message(str(number), "the sea"))
    await service.model.until(lambda: service.model.under_way == 4)
    call.cancel()
    await service.model.until(lambda: service.model.cancelled == 4)
    assert service.counters.items == {}
    assert service.model.under_way == 0


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x0a\x02\xff\xfe"], ids=["no message", "no UTF-8"])
async def test_bytes_that_are_no_message_end_the_stream(service: Service, raw: bytes) -> None:
    service.model.hold("sea")
    call = service.raw_stream()
    await call.write(message("a").SerializeToString())
    assert pb.StreamAnswerResponse.FromString(await call.read()).id == "a"
    await call.write(message("b", "the sea").SerializeToString())
    await service.model.until(lambda: service.model.under_way == 1)
    await call.write(raw)
    refusal = await service.refusal(call.read())
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")
    assert refusal.message.startswith("the request is not a spanqa.v1.StreamAnswerRequest: ")
    assert service.model.cancelled == 1
    await service.counted_once("StreamAnswer", "INVALID_ARGUMENT")


async def test_no_model_yet(service: Service) -> None:
    service.models.served.clear()
    call = service.stub.StreamAnswer()
    await call.write(message("a"))
    assert await read(call, 1) == [("a", "UNAVAILABLE")]
