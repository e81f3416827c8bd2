"""Both clients over a real socket, against a server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

import spanqa
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import Call, FakeService, Handler


def test_answer_reaches_the_caller(call: Call) -> None:
    result = call("answer", "Who?", "Café au lait")
    assert result.best == result.answers[0]
    assert (result.best.text, result.best.start, result.best.end) == ("Café", 0, 4)
    assert result.model_version == "1"


def test_request_carries_every_option_and_code_point_offsets(
    call: Call, service: FakeService
) -> None:
    options: dict[str, Any] = {
        "top_k": 3,
        "max_answer_tokens": 7,
        "allow_no_answer": True,
        "no_answer_threshold": -1.5,
        "max_sequence_tokens": 128,
        "doc_stride_tokens": 64,
        "min_probability": 0.25,
    }
    call("answer", "Who?", "Ada did.", **options)
    sent = pb.AnswerOptions(**options, offset_encoding=pb.OFFSET_ENCODING_UTF32)
    assert service.requests == [pb.AnswerRequest(question="Who?", context="Ada did.", options=sent)]


def test_model_info_reaches_the_caller(call: Call, service: FakeService) -> None:
    service.model.limits.max_top_k = 20
    info = call("model_info")
    assert (info.name, info.limits.max_top_k, info.f1) == ("fake", 20, None)


def test_token_and_metadata_go_with_each_call(call: Call, service: FakeService) -> None:
    call("answer", "Who?", "Ada", client={"token": "secret", "metadata": [("X-Team", "search")]})
    sent = service.metadata[0]
    assert sent["authorization"] == "Bearer secret"
    assert sent["x-team"] == "search"


UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "try again")


@pytest.mark.parametrize("context", ["Ada", "Ada " + "x" * 1_000_000], ids=["short", "1 MB"])
def test_unavailable_is_retried_until_it_works(
    call: Call, service: FakeService, context: str
) -> None:
    service.failures = [UNAVAILABLE] * 2
    assert call("answer", "Who?", context).best.text == "Ada"
    assert len(service.requests) == 3


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("answer_batch", [[("Who?", "Ada")]]),
        ("answer_from_documents", ["Who?", ["Ada"]]),
        ("compute_logits", ["Who?", "Ada"]),
        ("model_info", []),
    ],
)
def test_every_call_is_retried(
    call: Call, service: FakeService, method: str, arguments: list[Any]
) -> None:
    service.failures = [UNAVAILABLE]
    call(method, *arguments)
    assert len(service.requests) == 2


def test_retries_end_after_four_attempts(call: Call, service: FakeService) -> None:
    service.failures = [UNAVAILABLE] * 9
    with pytest.raises(spanqa.UnavailableError, match="UNAVAILABLE: try again"):
        call("answer", "Who?", "Ada")
    assert len(service.requests) == 4


def test_other_failures_are_not_retried(call: Call, service: FakeService) -> None:
    service.failures = [(grpc.StatusCode.INTERNAL, "broken")]
    with pytest.raises(spanqa.InternalError):
        call("answer", "Who?", "Ada")
    assert len(service.requests) == 1


def test_client_timeout_is_the_default(
    call: Call, service: FakeService, never_answers: Handler
) -> None:
    service.answer = never_answers
    with pytest.raises(spanqa.DeadlineExceededError):
        call("answer", "Who?", "Ada", client={"timeout": 0.2})


def test_call_timeout_goes_before_the_clients(
    call: Call, service: FakeService, never_answers: Handler
) -> None:
    service.answer = never_answers
    with pytest.raises(spanqa.DeadlineExceededError) as caught:
        call("answer", "Who?", "Ada", client={"timeout": None}, timeout=0.2)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_invalid_argument_carries_the_servers_details(call: Call) -> None:
    with pytest.raises(spanqa.InvalidArgumentError) as caught:
        call("answer", "Who?", "  ")
    assert caught.value.reason == "NOT_VALID"
    assert caught.value.retry_delay == 1.5
    assert caught.value.field_violations == (spanqa.FieldViolation("context", "is empty"),)


def test_responses_over_the_grpc_default_limit_arrive(call: Call, service: FakeService) -> None:
    long = "x" * 5_000_000
    service.answer = lambda request, context: pb.AnswerResponse(answers=[pb.Answer(text=long)])
    assert call("answer", "Who?", "Ada").best.text == long


def test_messages_over_the_clients_limit_are_refused(call: Call, service: FakeService) -> None:
    with pytest.raises(spanqa.ResourceExhaustedError):
        call("answer", "Who?", "Ada" * 1000, client={"max_message_bytes": 1000})
    assert service.requests == []


def test_nobody_listening_is_unavailable(call: Call, dead_target: str) -> None:
    with pytest.raises(spanqa.UnavailableError):
        call("model_info", client={"target": dead_target})


def test_arguments_that_cannot_be_sent_are_refused_here(call: Call, service: FakeService) -> None:
    with pytest.raises(ValueError, match="context holds a lone surrogate at index 3"):
        call("answer", "Who?", "Ada\udc80")
    with pytest.raises(TypeError, match="question must be a str, not bytes"):
        call("answer", b"Who?", "Ada")
    with pytest.raises(ValueError, match="timeout is 0"):
        call("answer", "Who?", "Ada", timeout=0)
    assert service.requests == []


def test_closed_client_says_so(service: FakeService) -> None:
    client = spanqa.Client(service.target)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.model_info()


def test_closed_async_client_says_so(service: FakeService) -> None:
    async def run() -> None:
        client = spanqa.AsyncClient(service.target)
        await client.close()
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await client.model_info()

    asyncio.run(run())


def test_async_client_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        spanqa.AsyncClient()


def test_cancelled_task_stays_cancelled(service: FakeService, never_answers: Handler) -> None:
    service.answer = never_answers

    async def run() -> None:
        async with spanqa.AsyncClient(service.target) as client:
            task = asyncio.create_task(client.answer("Who?", "Ada"))
            await asyncio.to_thread(service.asked.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_closing_the_client_ends_a_call_with_an_error(
    service: FakeService, never_answers: Handler
) -> None:
    service.answer = never_answers

    async def run() -> None:
        client = spanqa.AsyncClient(service.target)
        task = asyncio.create_task(client.answer("Who?", "Ada"))
        await asyncio.to_thread(service.asked.wait)
        await client.close()
        with pytest.raises(spanqa.CallCancelledError, match="closed"):
            await task

    asyncio.run(run())


def test_async_calls_run_side_by_side(service: FakeService) -> None:
    together = threading.Barrier(4, timeout=20)
    answer: Handler = service.answer

    def meet(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        together.wait()
        return answer(request, context)

    service.answer = meet

    async def run() -> list[spanqa.AnswerResult]:
        async with spanqa.AsyncClient(service.target) as client:
            return await asyncio.gather(*(client.answer("Who?", f"Ada{i}") for i in range(4)))

    results = asyncio.run(run())
    assert [result.best and result.best.text for result in results] == [f"Ada{i}" for i in range(4)]
