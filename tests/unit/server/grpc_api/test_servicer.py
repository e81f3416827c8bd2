"""Single calls over a real channel: statuses, deadlines, and what is counted."""

import asyncio
from typing import Any

import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import DeadlineError, InferenceError, OverloadedError
from unit.server.grpc_api.stage import Service, pair, serve_played, serving
from unit.server.qa.played import PlayedModel

DOCUMENTS = [pb.Document(text="the light"), pb.Document(), pb.Document(text="sea")]
CALLS = {
    "Answer": pair(),
    "AnswerFromDocuments": pb.AnswerFromDocumentsRequest(question="who ?", documents=DOCUMENTS),
    "ComputeLogits": pb.ComputeLogitsRequest(question="who ?", context="the light"),
}
EACH = pytest.mark.parametrize("method", CALLS)


def call(service: Service, method: str, **options: Any) -> Any:
    return getattr(service.stub, method)(CALLS[method], **options)


@EACH
async def test_a_call_that_is_done_again_is_answered_by_the_last_version(
    service: Service, method: str
) -> None:
    service.models.served.append(serve_played(PlayedModel(), version="4"))
    assert (await call(service, method)).model_version == "4"
    await service.counted_once(method, "OK")


@pytest.mark.parametrize("method", [*CALLS, "GetModel"])
async def test_no_model_yet(service: Service, method: str) -> None:
    service.models.served.clear()
    request = CALLS.get(method, pb.GetModelRequest())
    refusal = await service.refusal(getattr(service.stub, method)(request))
    assert (refusal.code, refusal.reason) == ("UNAVAILABLE", "MODEL_UNAVAILABLE")
    assert refusal.message == "no version yet"
    await service.counted_once(method, "UNAVAILABLE")


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("Answer", pair("", top_k=-1), ["question", "options.top_k"]),
        ("AnswerFromDocuments", pb.AnswerFromDocumentsRequest(question="who"), ["documents"]),
        (
            "ComputeLogits",
            pb.ComputeLogitsRequest(question="who ?", context="a", max_sequence_tokens=5),
            ["max_sequence_tokens"],
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
    service: Service, method: str, error: Exception, code: str, reason: str
) -> None:
    service.model.errors["light"] = error
    refusal = await service.refusal(call(service, method))
    assert (refusal.code, refusal.reason, refusal.message) == (code, reason, str(error))
    await service.counted_once(method, code)


@EACH
async def test_an_unexpected_error_is_logged_and_kept_from_the_caller(
    service: Service, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.model.errors["light"] = RuntimeError("secret of the house")
    refusal = await service.refusal(call(service, method))
    assert refusal.code == "INTERNAL"
    assert refusal.message == "internal error; the server's log has more"
    assert f"{method} failed" in caplog.messages
    assert "secret of the house" in caplog.text
    await service.counted_once(method, "INTERNAL")


@EACH
async def test_the_servers_own_time_limit(method: str) -> None:
    async with serving(default_timeout=0.05) as service:
        service.model.hold("light")
        refusal = await service.refusal(call(service, method))
        assert (refusal.code, refusal.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED")
        assert refusal.message == "no answer within 0.05 s"
        assert service.model.cancelled == 1


@EACH
async def test_the_callers_deadline_goes_before_the_servers(method: str) -> None:
    async with serving(default_timeout=1e-6) as service:
        assert await call(service, method, timeout=20)
    async with serving(default_timeout=60) as service:
        service.model.hold("light")
        refusal = await service.refusal(call(service, method, timeout=0.1))
        assert refusal.code == "DEADLINE_EXCEEDED"
        await service.model.until(lambda: service.model.under_way == 0)


@EACH
async def test_a_caller_that_gives_up_ends_the_work(service: Service, method: str) -> None:
    service.model.hold("light")
    # A task, since a call begins only where someone waits for it.
    waiter = asyncio.ensure_future(call(service, method))
    await service.model.until(lambda: service.model.under_way == 1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    await service.model.until(lambda: service.model.cancelled == 1)
    await service.counted_once(method, "CANCELLED")


@EACH
async def test_a_late_deadline_is_brought_forward(method: str) -> None:
    async with serving(max_timeout=0.05) as service:
        service.model.hold("light")
        refusal = await service.refusal(call(service, method, timeout=1e6))
        assert (refusal.code, refusal.message) == ("DEADLINE_EXCEEDED", "no answer within 0.05 s")
        assert service.model.cancelled == 1


@EACH
async def test_a_call_without_a_message_is_told_to_send_one(service: Service, method: str) -> None:
    stream: Any = service.channel.stream_unary(f"/spanqa.v1.QuestionAnsweringService/{method}")
    refusal = await service.refusal(stream(iter(())))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")
    assert refusal.message == "the call ended without a request; send one"
