"""BatchAnswer and StreamAnswer over a real channel: a status and a time limit for each pair."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from google.rpc import code_pb2

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import InferenceError
from spanqa_server.qa.text_cache import SHORTEST_TEXT
from spanqa_server.qa.tokenizer import TextTokenizer, TokenizedText
from unit.server.grpc_api.stage import MAX_ID_BYTES, Service, pair, read_details, serving


def batch(*pairs: pb.AnswerRequest) -> pb.BatchAnswerRequest:
    return pb.BatchAnswerRequest(requests=pairs)


def results(reply: pb.BatchAnswerResponse) -> list[str]:
    """What became of each pair: the code's name."""
    return [code_pb2.Code.Name(item.error.code) for item in reply.items]


def message(name: str, context: str = "the light", **options: Any) -> pb.StreamAnswerRequest:
    return pb.StreamAnswerRequest(id=name, request=pair(context=context, **options))


async def read(call: Any, count: int) -> list[tuple[str, str]]:
    """The ids and codes of the next results of a stream."""
    replies = [await call.read() for _ in range(count)]
    return [(reply.id, code_pb2.Code.Name(reply.error.code)) for reply in replies]


async def test_a_pair_that_is_wrong_does_not_harm_its_neighbours(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    service.model.errors = {
        "sea": InferenceError("the model failed"),
        "Lake": RuntimeError("secret of the house"),
    }
    pairs = [pair(), pair("", top_k=-1), pair(), pair(context="sea"), pair(context="Lake"), pair()]
    reply = await service.stub.BatchAnswer(batch(*pairs))
    assert results(reply) == ["OK", "INVALID_ARGUMENT", "OK", "INTERNAL", "INTERNAL", "OK"]
    details = [read_details(item.error) for item in reply.items]
    assert details[1] == (["question", "options.top_k"], "INVALID_REQUEST")
    assert details[3] == ([], "INFERENCE_FAILED")
    assert reply.items[4].error.message == "internal error; the server's log has more"
    assert caplog.messages == ["a pair of a BatchAnswer call failed"]
    assert "secret of the house" in caplog.text
    await service.counted_once("BatchAnswer", "OK")
    counts = {"OK": 3, "INVALID_ARGUMENT": 1, "INTERNAL": 2}
    assert service.counters.items == {("BatchAnswer", code): n for code, n in counts.items()}


async def test_so_many_pairs_of_a_batch_are_worked_on_at_once() -> None:
    async with serving(max_stream_pairs=4) as service:
        gate = service.model.hold("light")
        call = asyncio.ensure_future(service.stub.BatchAnswer(batch(*[pair()] * 15)))
        await service.model.until(lambda: service.model.under_way == 4)
        gate.set()
        assert results(await call) == ["OK"] * 15
        assert service.model.most == 4


async def test_equal_texts_are_tokenized_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = TextTokenizer.encode
    given: Counter[str] = Counter()

    def spy(tokenizer: TextTokenizer, text: str) -> TokenizedText:
        given[text.strip()] += 1
        return encode(tokenizer, text)

    monkeypatch.setattr(TextTokenizer, "encode", spy)
    who, light, sea = (name.ljust(SHORTEST_TEXT) for name in ("who ?", "the light", "the sea"))
    pairs = [pair(who, light), pair(who, sea), pair("a ?", light)]
    assert results(await service.stub.BatchAnswer(batch(*pairs, *pairs))) == ["OK"] * 6
    assert given == {"who ?": 1, "a ?": 2, "the light": 1, "the sea": 1}


async def test_pairs_that_were_answered_in_time_survive_the_servers_limit() -> None:
    # The last pair begins only after the limit, in the place of the one that hangs.
    async with serving(default_timeout=0.4, max_stream_pairs=1) as service:
        service.model.hold("sea")
        pairs = [pair(), pair(context="light"), pair(context="sea"), pair()]
        reply = await service.stub.BatchAnswer(batch(*pairs))
        assert results(reply) == ["OK", "OK", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]
        assert reply.items[2].error.message == "no answer within 0.4 s"
        await service.counted_once("BatchAnswer", "OK")


@pytest.mark.parametrize("how", ["deadline", "cancelled"])
async def test_a_caller_that_is_gone_ends_the_work_on_all_pairs(service: Service, how: str) -> None:
    service.model.hold("light")
    timeout = 0.5 if how == "deadline" else None
    call = service.stub.BatchAnswer(batch(*[pair()] * 5), timeout=timeout)
    waiter = asyncio.ensure_future(service.refusal(call))
    await service.model.until(lambda: service.model.most == 5)
    if how == "cancelled":
        waiter.cancel()
    await service.model.until(lambda: service.model.cancelled == 5)
    assert service.model.under_way == 0
    # At the deadline either may be first: the client, or the reply without an answer.
    await asyncio.wait([waiter])


@pytest.mark.parametrize("how", ["deadline", "cancelled"])
async def test_a_stream_whose_caller_is_gone_ends_the_work(service: Service, how: str) -> None:
    service.model.hold("sea")
    call = service.stub.StreamAnswer(timeout=0.5 if how == "deadline" else None)
    for number in range(4):
        await call.write(message(str(number), "the sea"))
    await service.model.until(lambda: service.model.most == 4)
    if how == "cancelled":
        call.cancel()
    await service.model.until(lambda: service.model.cancelled == 4)
    assert service.model.under_way == 0
    if how == "cancelled":
        assert service.counters.items == {}, "a pair without a status"


async def test_answers_come_as_they_are_ready_while_the_stream_is_open(service: Service) -> None:
    gate = service.model.hold("sea")
    call = service.stub.StreamAnswer()
    await call.write(message("slow", "the sea"))
    await call.write(message("fast"))
    assert await read(call, 1) == [("fast", "OK")]
    gate.set()
    assert await read(call, 1) == [("slow", "OK")]
    await call.write(message("wrong", "", top_k=-1))
    reply = await call.read()
    fields = ["request.context", "request.options.top_k"]
    assert (reply.id, read_details(reply.error)) == ("wrong", (fields, "INVALID_REQUEST"))
    await call.write(message("", "the sea"))
    assert await read(call, 1) == [("", "OK")]
    await call.done_writing()
    assert not await call.read()
    await service.counted_once("StreamAnswer", "OK")
    assert service.counters.items == {
        ("StreamAnswer", "OK"): 3,
        ("StreamAnswer", "INVALID_ARGUMENT"): 1,
    }


async def test_a_long_id_fails_its_own_pair_alone(service: Service) -> None:
    call = service.stub.StreamAnswer()
    await call.write(message("x" * (MAX_ID_BYTES + 1)))
    reply = await call.read()
    assert (reply.id, read_details(reply.error)) == ("x" * 1024, (["id"], "INVALID_REQUEST"))
    assert "has 1025 bytes of UTF-8; the limit is 1024" in reply.error.message
    await call.write(message("x" * MAX_ID_BYTES))
    assert await read(call, 1) == [("x" * MAX_ID_BYTES, "OK")]


async def test_an_id_under_way_cannot_be_had_twice(service: Service) -> None:
    gate = service.model.hold("sea")
    call, other = service.stub.StreamAnswer(), service.stub.StreamAnswer()
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


async def test_so_many_pairs_of_a_stream_are_worked_on_at_once() -> None:
    async with serving(max_stream_pairs=3) as service:
        gate = service.model.hold("light")
        call = service.stub.StreamAnswer()
        for number in range(10):
            await call.write(message(str(number)))
        await service.model.until(lambda: service.model.under_way == 3)
        gate.set()
        assert len(await read(call, 10)) == 10
        assert service.model.most == 3


async def test_each_pair_of_a_stream_has_the_servers_time_limit_of_its_own() -> None:
    async with serving(default_timeout=0.3) as service:
        service.model.hold("sea")
        call = service.stub.StreamAnswer(timeout=20)
        for name in ("a", "b"):
            await call.write(message(name, "the sea"))
            assert await read(call, 1) == [(name, "DEADLINE_EXCEEDED")]
        assert service.model.cancelled == 2
        await call.write(message("c"))
        assert await read(call, 1) == [("c", "OK")]


async def test_no_model_yet(service: Service) -> None:
    service.models.served.clear()
    call = service.stub.StreamAnswer()
    await call.write(message("a"))
    assert await read(call, 1) == [("a", "UNAVAILABLE")]
