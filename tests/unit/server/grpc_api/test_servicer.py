"""Single calls over a real channel: replies, statuses, deadlines, and what is counted."""

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import DeadlineError, InferenceError, OverloadedError
from spanqa_server.grpc_api.interceptors import CallInterceptor
from unit.server.grpc_api.stage import Service, pair, serve_played, serving
from unit.server.qa.played import PlayedModel

DOCUMENTS = [pb.Document(id="a", text="the light"), pb.Document(), pb.Document(id="a", text="sea")]


def documents(question: str = "who ?", **options: Any) -> pb.AnswerFromDocumentsRequest:
    return pb.AnswerFromDocumentsRequest(
        question=question, documents=DOCUMENTS, options=pb.AnswerOptions(**options)
    )


def logits(question: str = "who ?", context: str = "the light", **more: Any) -> Any:
    return pb.ComputeLogitsRequest(question=question, context=context, **more)


CALLS = [("Answer", pair), ("AnswerFromDocuments", documents), ("ComputeLogits", logits)]
EACH = pytest.mark.parametrize(("method", "make"), CALLS, ids=[name for name, _ in CALLS])


async def test_answer(service: Service) -> None:
    reply = await service.stub.Answer(pair(top_k=2))
    assert len(reply.answers) == 2
    for answer in reply.answers:
        assert "the light keeper"[answer.start : answer.end] == answer.text
    assert reply.model_version == "3"
    assert reply.usage == pb.Usage(question_tokens=2, context_tokens=3, windows=1)
    assert reply.timing.total.ToNanoseconds() > 0
    await service.counted_once("Answer", "OK")


async def test_documents(service: Service) -> None:
    reply = await service.stub.AnswerFromDocuments(documents(top_k=50))
    assert list(reply.document_ids) == ["a", "", "a"]
    assert {answer.document_index for answer in reply.answers} == {0, 2}
    for answer in reply.answers:
        text = DOCUMENTS[answer.document_index].text
        assert text[answer.start : answer.end] == answer.text
    assert reply.usage == pb.Usage(question_tokens=2, context_tokens=3, windows=2)
    assert (reply.model_version, reply.no_answer) == ("3", False)
    assert reply.timing.total.ToNanoseconds() > 0


@pytest.mark.parametrize("allow_no_answer", [False, True])
async def test_one_document_is_answered_as_a_context(
    service: Service, allow_no_answer: bool
) -> None:
    options: dict[str, Any] = {"top_k": 9, "offset_encoding": 2}
    question = pair("who ?", "the 😀 light é keeper", allow_no_answer=allow_no_answer, **options)
    document = pb.AnswerFromDocumentsRequest(
        question=question.question,
        documents=[pb.Document(text=question.context)],
        options=question.options,
    )
    one = await service.stub.Answer(question)
    other = await service.stub.AnswerFromDocuments(document)
    assert list(other.answers) == list(one.answers)
    assert (other.no_answer, other.usage) == (one.no_answer, one.usage)
    assert other.no_answer_probability == one.no_answer_probability


async def test_logits(service: Service) -> None:
    reply = await service.stub.ComputeLogits(logits(max_sequence_tokens=6))
    assert [list(window.tokens) for window in reply.windows] == [
        ["[CLS]", "who", "?", "[SEP]", "the", "[SEP]"],
        ["[CLS]", "who", "?", "[SEP]", "light", "[SEP]"],
    ]
    assert [list(window.starts) for window in reply.windows] == [
        [0, 0, 4, 0, 0, 0],
        [0, 0, 4, 0, 4, 0],
    ]
    assert reply.model_version == "3"
    assert reply.timing.decode.ToNanoseconds() == 0
    assert reply.timing.total.ToNanoseconds() > 0


async def test_model(service: Service) -> None:
    description = await service.stub.GetModel(pb.GetModelRequest())
    assert (description.name, description.version) == ("played", "3")


@EACH
async def test_a_call_that_is_done_again_is_answered_by_the_last_version(
    service: Service, method: str, make: Any
) -> None:
    service.models.served.append(serve_played(PlayedModel(), version="4"))
    reply = await getattr(service.stub, method)(make())
    assert reply.model_version == "4"


@pytest.mark.parametrize("method", ["Answer", "AnswerFromDocuments", "ComputeLogits", "GetModel"])
async def test_no_model_yet(service: Service, method: str) -> None:
    service.models.served.clear()
    make = dict(CALLS).get(method, pb.GetModelRequest)
    refusal = await service.refusal(getattr(service.stub, method)(make()))
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "MODEL_UNAVAILABLE")
    assert refusal.message == "no version yet"
    await service.counted_once(method, "UNAVAILABLE")


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("Answer", pair("", "", top_k=-1), ["question", "context", "options.top_k"]),
        ("Answer", pair(offset_encoding=9), ["options.offset_encoding"]),
        ("Answer", pair(max_sequence_tokens=5), ["options.max_sequence_tokens"]),
        ("AnswerFromDocuments", pb.AnswerFromDocumentsRequest(question="who"), ["documents"]),
        ("AnswerFromDocuments", documents("", top_k=-1), ["question", "options.top_k"]),
        ("ComputeLogits", logits(max_sequence_tokens=-1), ["max_sequence_tokens"]),
        ("ComputeLogits", logits(max_sequence_tokens=5), ["max_sequence_tokens"]),
        ("ComputeLogits", logits(doc_stride_tokens=-1), ["doc_stride_tokens"]),
        (
            "ComputeLogits",
            logits("", "", offset_encoding=9),
            ["question", "context", "offset_encoding"],
        ),
    ],
)
async def test_wrong_fields_are_named_as_the_caller_knows_them(
    service: Service, method: str, request_: Any, fields: list[str]
) -> None:
    refusal = await service.refusal(getattr(service.stub, method)(request_))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert refusal.fields == fields
    await service.counted_once(method, "INVALID_ARGUMENT")
    assert service.model.asked == []


async def test_too_many_tokens_for_raw_results(service: Service) -> None:
    service.models.served = [serve_played(PlayedModel(), max_logits_tokens=6)]
    refusal = await service.refusal(service.stub.ComputeLogits(logits()))
    assert (refusal.code, refusal.fields) == ("INVALID_ARGUMENT", ["context"])


@EACH
@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InferenceError("the model failed"), "INTERNAL", "INFERENCE_FAILED"),
        (OverloadedError("the queue is full"), "RESOURCE_EXHAUSTED", "OVERLOADED"),
        (DeadlineError("late"), "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED"),
    ],
)
async def test_what_the_model_fails_with(
    service: Service, method: str, make: Any, error: Exception, code: str, reason: str
) -> None:
    service.model.errors["light"] = error
    refusal = await service.refusal(getattr(service.stub, method)(make()))
    assert (refusal.code, refusal.reason, refusal.message) == (code, reason, str(error))
    await service.counted_once(method, code)


@EACH
async def test_an_unexpected_error_is_logged_and_kept_from_the_caller(
    service: Service, method: str, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service.model.errors["light"] = RuntimeError("secret of the house")
    refusal = await service.refusal(getattr(service.stub, method)(make()))
    assert refusal.code == "INTERNAL"
    assert refusal.message == "internal error; the server's log has more"
    assert f"{method} failed" in caplog.messages
    assert "secret of the house" in caplog.text
    await service.counted_once(method, "INTERNAL")


@EACH
async def test_the_servers_own_time_limit(method: str, make: Any) -> None:
    async with serving(default_timeout=0.05) as service:
        service.model.hold("light")
        refusal = await service.refusal(getattr(service.stub, method)(make()))
        assert (refusal.code, refusal.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert refusal.message == "no answer within 0.05 s"
        assert service.model.cancelled == 1


@EACH
async def test_the_callers_deadline_goes_before_the_servers(method: str, make: Any) -> None:
    async with serving(default_timeout=1e-6) as service:
        assert await getattr(service.stub, method)(make(), timeout=20)
    async with serving(default_timeout=60) as service:
        service.model.hold("light")
        refusal = await service.refusal(getattr(service.stub, method)(make(), timeout=0.1))
        assert refusal.code == "DEADLINE_EXCEEDED"
        await service.model.until(lambda: service.model.under_way == 0)


@EACH
async def test_a_caller_that_gives_up_ends_the_work(
    service: Service, method: str, make: Any
) -> None:
    service.model.hold("light")
    call = getattr(service.stub, method)(make())
    # A task, since a call begins only where someone waits for it.
    waiter = asyncio.ensure_future(call)
    await service.model.until(lambda: service.model.under_way == 1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await service.model.until(lambda: service.model.cancelled == 1)
    await service.counted_once(method, "CANCELLED")


@pytest.mark.parametrize("raw", [b"\xff\xff", b"\x0a\x02\xff\xfe"], ids=["no message", "no UTF-8"])
@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("Answer", "AnswerRequest"),
        ("BatchAnswer", "BatchAnswerRequest"),
        ("AnswerFromDocuments", "AnswerFromDocumentsRequest"),
        ("ComputeLogits", "ComputeLogitsRequest"),
    ],
)
async def test_bytes_that_are_no_message(
    service: Service, method: str, name: str, raw: bytes
) -> None:
    refusal = await service.refusal(service.raw_call(method, raw))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")
    assert refusal.message.startswith(f"the request is not a spanqa.v1.{name}: ")
    await service.counted_once(method, "INVALID_ARGUMENT")


async def test_a_method_that_is_not_there(service: Service) -> None:
    refusal = await service.refusal(service.raw_call("Guess", b""))
    assert refusal.code == "UNIMPLEMENTED"
    assert service.counters.calls == {}


async def test_other_services_are_left_alone() -> None:
    handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    details: Any = SimpleNamespace(method="/grpc.health.v1.Health/Check")

    async def continuation(asked: Any) -> Any:
        assert asked is details
        return handler

    assert await CallInterceptor().intercept_service(continuation, details) is handler
