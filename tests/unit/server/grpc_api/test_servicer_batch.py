"""BatchAnswer over a real channel: each pair has its own status, none harms its neighbours."""

import asyncio
from collections import Counter

import pytest
from google.rpc import code_pb2

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import InferenceError
from spanqa_server.qa.tokenizer import TextTokenizer, TokenizedText
from unit.server.grpc_api.stage import Service, pair, read_details, serving
from unit.server.vocabulary import WORDS


def batch(*pairs: pb.AnswerRequest) -> pb.BatchAnswerRequest:
    return pb.BatchAnswerRequest(requests=pairs)


def results(reply: pb.BatchAnswerResponse) -> list[str]:
    """What became of each pair: the code's name."""
    return [code_pb2.Code.Name(item.error.code) for item in reply.items]


async def test_answers_are_those_of_single_calls_in_order(service: Service) -> None:
    pairs = [pair(f"{word} ?", f"the {word} keeper", top_k=2) for word in WORDS]
    reply = await service.stub.BatchAnswer(batch(*pairs))
    assert len(reply.items) == len(pairs)
    for one, item in zip(pairs, reply.items, strict=True):
        alone = await service.stub.Answer(one)
        assert list(item.response.answers) == list(alone.answers)
        assert (item.response.usage, item.response.model_version) == (alone.usage, "3")
        assert item.response.timing.total.ToNanoseconds() > 0
    assert service.counters.items == {("BatchAnswer", "OK"): len(pairs)}


async def test_no_pairs(service: Service) -> None:
    assert not (await service.stub.BatchAnswer(batch())).items
    await service.counted_once("BatchAnswer", "OK")


async def test_a_pair_that_is_wrong_does_not_harm_its_neighbours(service: Service) -> None:
    service.model.errors = {
        "sea": InferenceError("the model failed"),
        "Lake": RuntimeError("secret of the house"),
    }
    pairs = [pair(), pair("", top_k=-1), pair(), pair(context="sea"), pair(context="Lake"), pair()]
    reply = await service.stub.BatchAnswer(batch(*pairs))
    assert results(reply) == ["OK", "INVALID_ARGUMENT", "OK", "INTERNAL", "INTERNAL", "OK"]
    assert [item.WhichOneof("result") == "response" for item in reply.items] == [
        *(True, False, True, False, False, True)
    ]
    details = [read_details(item.error) for item in reply.items]
    assert details[1] == (["question", "options.top_k"], "INVALID_REQUEST")
    assert details[3] == ([], "INFERENCE_FAILED")
    assert reply.items[4].error.message == "internal error; the server's log has more"
    await service.counted_once("BatchAnswer", "OK")
    assert service.counters.items == {
        ("BatchAnswer", "OK"): 3,
        ("BatchAnswer", "INVALID_ARGUMENT"): 1,
        ("BatchAnswer", "INTERNAL"): 2,
    }


async def test_results_keep_the_order_of_the_pairs(service: Service) -> None:
    gate = service.model.hold("sea")
    contexts = ["the sea", "the light", "a sea", "a lake"]
    call = asyncio.ensure_future(
        service.stub.BatchAnswer(batch(*(pair(context=context) for context in contexts)))
    )
    await service.model.until(lambda: len(service.model.given) == 2)
    gate.set()
    reply = await call
    for context, item in zip(contexts, reply.items, strict=True):
        [answer] = item.response.answers
        assert context[answer.start : answer.end] == answer.text


async def test_too_many_pairs() -> None:
    async with serving(max_batch_items=3) as service:
        assert results(await service.stub.BatchAnswer(batch(*[pair()] * 3))) == ["OK"] * 3
        refusal = await service.refusal(service.stub.BatchAnswer(batch(*[pair()] * 4)))
        assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ["requests"])
        assert "has 4 entries; the limit is 3" in refusal.message
        assert len(service.model.asked) == 3


async def test_so_many_pairs_are_worked_on_at_once() -> None:
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
        given[text] += 1
        return encode(tokenizer, text)

    monkeypatch.setattr(TextTokenizer, "encode", spy)
    pairs = [pair("who ?", "the light"), pair("who ?", "the sea"), pair("a ?", "the light")]
    assert results(await service.stub.BatchAnswer(batch(*pairs, *pairs))) == ["OK"] * 6
    assert given == {"who ?": 1, "a ?": 1, "the light": 1, "the sea": 1}


async def test_pairs_that_were_answered_in_time_survive_the_servers_limit() -> None:
    # The last pair begins only after the limit, in the place of the one that hangs.
    async with serving(default_timeout=0.4, max_stream_pairs=1) as service:
        service.model.hold("sea")
        pairs = [pair(), pair(context="light"), pair(context="sea"), pair()]
        reply = await service.stub.BatchAnswer(batch(*pairs))
        assert results(reply) == ["OK", "OK", "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"]
        assert reply.items[2].error.message == "no answer within 0.4 s"
        await service.counted_once("BatchAnswer", "OK")
        assert service.counters.items == {
            ("BatchAnswer", "OK"): 2,
            ("BatchAnswer", "DEADLINE_EXCEEDED"): 2,
        }


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
