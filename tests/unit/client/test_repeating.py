"""A call that an overloaded server refuses is sent again when the server says."""

import threading
import time
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

import spanqa
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import FakeService, first_word, packed, refuse


def overloaded(times: int, seconds: float, reason: str = "OVERLOADED") -> Any:
    """Refuse so often, then answer."""
    left = [times]
    delay = Duration()
    delay.FromMilliseconds(round(1e3 * seconds))

    def handler(request: pb.AnswerRequest, context: grpc.ServicerContext) -> pb.AnswerResponse:
        if left[0]:
            left[0] -= 1
            details = packed(
                error_details_pb2.ErrorInfo(reason=reason),
                error_details_pb2.RetryInfo(retry_delay=delay),
            )
            refuse(context, status_pb2.Status(code=8, message="full", details=details))
        return first_word(request, context)

    return handler


def test_a_refused_call_is_sent_again_after_the_delay(client: Any, service: FakeService) -> None:
    service.answer = overloaded(6, 0.05)
    begin = time.monotonic()
    assert client.answer("q", "first", timeout=20).best.text == "first"
    assert time.monotonic() - begin >= 6 * 0.05
    attempts = [told.get("spanqa-previous-attempts") for told in service.metadata]
    assert attempts == [None, *"123456"]
    assert all(seconds is not None and seconds < 20.5 for seconds in service.time_remaining)


def test_a_delay_beyond_the_timeout_ends_the_call_at_once(
    client: Any, service: FakeService
) -> None:
    service.answer = overloaded(1, 60)
    with pytest.raises(spanqa.ResourceExhaustedError) as raised:
        client.answer("q", "first", timeout=20)
    assert (raised.value.reason, raised.value.retry_delay) == ("OVERLOADED", 60)
    assert isinstance(raised.value.__cause__, grpc.RpcError)
    assert len(service.requests) == 1


@pytest.mark.parametrize("reason", ["", "TOO_LARGE"])
def test_what_is_no_refusal_is_not_repeated(client: Any, service: FakeService, reason: str) -> None:
    service.answer = overloaded(1, 0.01, reason)
    with pytest.raises(spanqa.ResourceExhaustedError):
        client.answer("q", "first")
    assert len(service.requests) == 1


def test_closing_a_client_ends_a_call_that_waits(service: FakeService) -> None:
    service.answer = overloaded(1, 15)
    raised: list[BaseException] = []
    client = spanqa.Client(service.target)

    def ask() -> None:
        with pytest.raises(spanqa.CallCancelledError) as caught:
            client.answer("q", "first")
        raised.append(caught.value)

    asking = threading.Thread(target=ask)
    asking.start()
    assert service.asked.wait(20)
    client.close()
    asking.join(10)
    assert raised, "it still waits"
