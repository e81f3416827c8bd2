"""Retries, time limits and closing of both clients, against a server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

import spanqa
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.conftest import Connect
from unit.client.fake_service import FakeService, Handler

CALLS = pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("answer", ["Who?", "Ada"]),
        ("answer_batch", [[("Who?", "Ada")]]),
        ("answer_from_documents", ["Who?", ["Ada"]]),
        ("compute_logits", ["Who?", "Ada"]),
        ("model_info", []),
    ],
)
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "try again")


def test_token_and_metadata_go_with_each_call(connect: Connect, service: FakeService) -> None:
    connect(token="secret", metadata=[("X-Team", "search")]).answer("Who?", "Ada")
    sent = service.metadata[0]
    assert sent["authorization"] == "Bearer secret"
    assert sent["x-team"] == "search"


@CALLS
def test_every_call_is_retried_and_has_a_deadline(
    client: Any, service: FakeService, method: str, arguments: list[Any]
) -> None:
    service.failures = [UNAVAILABLE]
    getattr(client, method)(*arguments, timeout=3600)
    getattr(client, method)(*arguments)
    by_call, retried, by_client = (seconds or 0.0 for seconds in service.time_remaining)
    assert 0 < by_client < 100
    assert 3000 < by_call < 4000
    assert 3000 < retried < 4000


def test_a_long_context_is_retried_too(client: Any, service: FakeService) -> None:
    service.failures = [UNAVAILABLE] * 2
    assert client.answer("Who?", "Ada " + "x" * 1_000_000).best.text == "Ada"
    assert len(service.requests) == 3


def test_retries_end_after_four_attempts(client: Any, service: FakeService) -> None:
    service.failures = [UNAVAILABLE] * 9
    with pytest.raises(spanqa.UnavailableError, match="UNAVAILABLE: try again"):
        client.answer("Who?", "Ada")
    assert len(service.requests) == 4


def test_other_failures_are_not_retried(client: Any, service: FakeService) -> None:
    service.failures = [(grpc.StatusCode.INTERNAL, "broken")]
    with pytest.raises(spanqa.InternalError):
        client.answer("Who?", "Ada")
    assert len(service.requests) == 1


@pytest.mark.parametrize(("of_client", "of_call"), [(0.2, None), (None, 0.2), (60, 0.2)])
def test_the_timeout_of_the_call_goes_before_that_of_the_client(
    connect: Connect,
    service: FakeService,
    never_answers: Handler,
    of_client: float | None,
    of_call: float | None,
) -> None:
    service.answer = never_answers
    with pytest.raises(spanqa.DeadlineExceededError) as caught:
        connect(timeout=of_client).answer("Who?", "Ada", timeout=of_call)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_messages_over_the_clients_limit_are_refused(
    connect: Connect, service: FakeService
) -> None:
    with pytest.raises(spanqa.ResourceExhaustedError):
        connect(max_message_bytes=1000).answer("Who?", "Ada" * 1000)
    assert service.requests == []


def test_nobody_listening_is_unavailable(connect: Connect, dead_target: str) -> None:
    with pytest.raises(spanqa.UnavailableError):
        connect(dead_target).model_info()


def test_a_closed_client_says_so(client: Any) -> None:
    early = client.answer_stream([("Who?", "Ada")])
    client.close()
    client.close()
    for call in (client.model_info, lambda: client.answer_stream([]), lambda: next(early)):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_closing_the_client_ends_a_call_with_an_error(
    client: Any, service: FakeService, never_answers: Handler
) -> None:
    service.answer = never_answers
    with ThreadPoolExecutor(1) as executor:
        call = executor.submit(client.answer, "Who?", "Ada")
        assert service.asked.wait(20)
        client.close()
        with pytest.raises(spanqa.CallCancelledError, match="closed"):
            call.result(timeout=20)


def test_calls_run_side_by_side(client: Any, service: FakeService) -> None:
    together = threading.Barrier(4, timeout=20)
    answer: Handler = service.answer

    def meet(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        together.wait()
        return answer(request, context)

    service.answer = meet
    with ThreadPoolExecutor(4) as executor:
        results = executor.map(client.answer, ["Who?"] * 4, [f"Ada{i}" for i in range(4)])
        assert [result.best.text for result in results] == [f"Ada{i}" for i in range(4)]


def test_an_async_client_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        spanqa.AsyncClient()


async def test_a_cancelled_task_stays_cancelled(
    service: FakeService, never_answers: Handler
) -> None:
    service.answer = never_answers
    async with spanqa.AsyncClient(service.target) as client:
        task = asyncio.create_task(client.answer("Who?", "Ada"))
        await asyncio.to_thread(service.asked.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
