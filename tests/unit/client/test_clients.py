"""Both clients over a real socket, against a server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import (  # type: ignore[import-untyped,unused-ignore]
    error_details_pb2,
    status_pb2,
)
from grpc_status import rpc_status

import spanqa
from spanqa.v1 import question_answering_pb2 as pb

Call = Callable[..., Any]
Handler = Callable[[pb.AnswerRequest, grpc.ServicerContext], pb.AnswerResponse]
Service = Any  # conftest.FakeService, which pytest's importlib mode keeps from being imported
Reply = Any


def call_sync(method: str, *args: object, client: dict[str, Any], **kwargs: object) -> Reply:
    with spanqa.Client(**client) as made:
        return getattr(made, method)(*args, **kwargs)


def call_async(method: str, *args: object, client: dict[str, Any], **kwargs: object) -> Reply:
    async def run() -> Reply:
        async with spanqa.AsyncClient(**client) as made:
            return await getattr(made, method)(*args, **kwargs)

    return asyncio.run(run())


@pytest.fixture(params=[call_sync, call_async], ids=["Client", "AsyncClient"])
def call(request: pytest.FixtureRequest, service: Service) -> Call:
    """Calls a method of a new client of the running server."""

    def run(
        method: str, *args: object, client: dict[str, Any] | None = None, **kwargs: object
    ) -> Reply:
        options = {"target": service.target, **(client or {})}
        return request.param(method, *args, client=options, **kwargs)

    return run


def failing(times: int, code: grpc.StatusCode, then: Handler) -> Handler:
    """A handler that fails so many times and then does as it was told."""
    left = [code] * times

    def handle(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        if left:
            context.abort(left.pop(), "try again")
        return then(request, context)

    return handle


def test_answer_reaches_the_caller(call: Call) -> None:
    result = call("answer", "Who?", "Café au lait")
    assert result.best == result.answers[0]
    assert (result.best.text, result.best.start, result.best.end) == ("Café", 0, 4)
    assert result.model_version == "1"


def test_request_carries_every_option_and_code_point_offsets(call: Call, service: Service) -> None:
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


def test_model_info_reaches_the_caller(call: Call, service: Service) -> None:
    service.model.limits.max_top_k = 20
    info = call("model_info")
    assert (info.name, info.limits.max_top_k, info.f1) == ("fake", 20, None)


def test_token_and_metadata_go_with_each_call(call: Call, service: Service) -> None:
    call("answer", "Who?", "Ada", client={"token": "secret", "metadata": [("X-Team", "search")]})
    sent = service.metadata[0]
    assert sent["authorization"] == "Bearer secret"
    assert sent["x-team"] == "search"


@pytest.mark.parametrize("context", ["Ada", "Ada " + "x" * 1_000_000], ids=["short", "1 MB"])
def test_unavailable_is_retried_until_it_works(call: Call, service: Service, context: str) -> None:
    service.answer = failing(2, grpc.StatusCode.UNAVAILABLE, service.answer)
    assert call("answer", "Who?", context).best.text == "Ada"
    assert len(service.requests) == 3


def test_retries_end_after_four_attempts(call: Call, service: Service) -> None:
    service.answer = failing(9, grpc.StatusCode.UNAVAILABLE, service.answer)
    with pytest.raises(spanqa.UnavailableError, match="UNAVAILABLE: try again"):
        call("answer", "Who?", "Ada")
    assert len(service.requests) == 4


def test_other_failures_are_not_retried(call: Call, service: Service) -> None:
    service.answer = failing(1, grpc.StatusCode.INTERNAL, service.answer)
    with pytest.raises(spanqa.InternalError):
        call("answer", "Who?", "Ada")
    assert len(service.requests) == 1


def test_client_timeout_is_the_default(
    call: Call, service: Service, never_answers: Handler
) -> None:
    service.answer = never_answers
    with pytest.raises(spanqa.DeadlineExceededError):
        call("answer", "Who?", "Ada", client={"timeout": 0.2})


def test_call_timeout_goes_before_the_clients(
    call: Call, service: Service, never_answers: Handler
) -> None:
    service.answer = never_answers
    with pytest.raises(spanqa.DeadlineExceededError) as caught:
        call("answer", "Who?", "Ada", client={"timeout": None}, timeout=0.2)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_invalid_argument_carries_the_servers_details(call: Call, service: Service) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="options.top_k", description="is 99, the limit is 20"
    )
    status = status_pb2.Status(code=3, message="options.top_k: is 99, the limit is 20")
    for detail in (
        error_details_pb2.BadRequest(field_violations=[violation]),
        error_details_pb2.ErrorInfo(domain="spanqa.v1", reason="TOP_K_OUT_OF_RANGE"),
        error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)),
    ):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)

    def refuse(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        context.abort_with_status(rpc_status.to_status(status))

    service.answer = refuse
    with pytest.raises(spanqa.InvalidArgumentError) as caught:
        call("answer", "Who?", "Ada", top_k=99)
    assert caught.value.reason == "TOP_K_OUT_OF_RANGE"
    assert caught.value.retry_delay == 1.5
    assert caught.value.field_violations == (
        spanqa.FieldViolation("options.top_k", "is 99, the limit is 20"),
    )


def test_responses_over_the_grpc_default_limit_arrive(call: Call, service: Service) -> None:
    long = "x" * 5_000_000
    service.answer = lambda request, context: pb.AnswerResponse(answers=[pb.Answer(text=long)])
    assert call("answer", "Who?", "Ada").best.text == long


def test_messages_over_the_clients_limit_are_refused(call: Call, service: Service) -> None:
    with pytest.raises(spanqa.ResourceExhaustedError):
        call("answer", "Who?", "Ada" * 1000, client={"max_message_bytes": 1000})
    assert service.requests == []


def test_nobody_listening_is_unavailable(call: Call, dead_target: str) -> None:
    with pytest.raises(spanqa.UnavailableError):
        call("model_info", client={"target": dead_target})


def test_arguments_that_cannot_be_sent_are_refused_here(call: Call, service: Service) -> None:
    with pytest.raises(ValueError, match="context holds a lone surrogate at index 3"):
        call("answer", "Who?", "Ada\udc80")
    with pytest.raises(TypeError, match="question must be a str, not bytes"):
        call("answer", b"Who?", "Ada")
    with pytest.raises(ValueError, match="timeout is 0"):
        call("answer", "Who?", "Ada", timeout=0)
    assert service.requests == []


def test_closed_client_says_so(service: Service) -> None:
    client = spanqa.Client(service.target)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.model_info()


def test_closed_async_client_says_so(service: Service) -> None:
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


def test_cancelled_task_stays_cancelled(service: Service, never_answers: Handler) -> None:
    service.answer = never_answers

    async def run() -> None:
        async with spanqa.AsyncClient(service.target) as client:
            task = asyncio.create_task(client.answer("Who?", "Ada"))
            await asyncio.to_thread(service.asked.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(run())


def test_async_calls_run_side_by_side(service: Service) -> None:
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
