"""How streams of both clients end: aborts, failing iterables, deadlines, leaving the loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

import grpc
import pytest

import spanqa
from unit.client.conftest import Connect
from unit.client.fake_service import (
    FakeService,
    Requests,
    Responses,
    StreamHandler,
    endless,
    in_order,
    never,
    numbered,
    stream_response,
    until_gone,
)


def abort_after(answered: int, code: grpc.StatusCode) -> StreamHandler:
    def abort(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield from map(stream_response, islice(requests, answered))
        context.abort(code, "going away")

    return abort


def test_an_abort_raises_after_the_items_before_it(client: Any, service: FakeService) -> None:
    service.stream = abort_after(3, grpc.StatusCode.UNAVAILABLE)
    stream = client.answer_stream(numbered(10))
    assert [next(stream).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(spanqa.UnavailableError, match="going away") as caught:
        next(stream)
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_an_abort_while_pairs_are_sent_keeps_its_status(client: Any, service: FakeService) -> None:
    service.stream = abort_after(3, grpc.StatusCode.ABORTED)
    # What comes first, the status or the failed write, is chance.
    for _ in range(20):
        stream = client.answer_stream(("Who?", "Ada " + "x" * 30_000) for _ in count())
        assert [next(stream).index for _ in range(3)] == [0, 1, 2]
        with pytest.raises(spanqa.SpanQAError, match="ABORTED: going away"):
            next(stream)


def test_a_stream_is_not_retried(client: Any, service: FakeService) -> None:
    service.failures = [(grpc.StatusCode.UNAVAILABLE, "starting")]
    with pytest.raises(spanqa.UnavailableError, match="starting"):
        list(client.answer_stream(numbered(10)))
    assert len(service.requests) == 1


class Broken(BaseException):
    """Not an Exception: gRPC would let this one end its thread and leave the call waiting."""


@pytest.mark.parametrize("error", [LookupError("no more"), Broken(), asyncio.CancelledError()])
@pytest.mark.parametrize("before", [0, 2])
def test_what_the_iterable_raises_reaches_the_caller_as_it_is(
    client: Any, service: FakeService, error: BaseException, before: int
) -> None:
    def wait_after_two(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield from map(stream_response, islice(requests, 2))
        until_gone(context)

    def failing() -> Iterator[tuple[str, str]]:
        yield from numbered(before)
        raise error

    service.stream = wait_after_two
    with pytest.raises(type(error)) as caught:
        list(client.answer_stream(failing()))
    assert caught.value is error
    # With no pair before it, the call may end before the server hears of it.
    assert service.stream_over.wait(20 if before else 0) or not before


def test_a_pair_that_cannot_be_sent_is_named_and_ends_the_stream(client: Any) -> None:
    with pytest.raises(ValueError, match=r"^pairs\[3\]\.context holds a lone surrogate"):
        list(client.answer_stream([*numbered(3), ("Who?", "\udc80")]))
    with pytest.raises(TypeError, match=r"^pairs\[0\] must be a spanqa\.Pair"):
        list(client.answer_stream(["Who?"]))


def test_leaving_the_loop_cancels_a_stream_without_end(client: Any, service: FakeService) -> None:
    for item in client.answer_stream(endless()):
        if item.index == 2:
            break
    assert service.stream_over.wait(20)


def test_closing_the_iterator_cancels_the_call(client: Any, service: FakeService) -> None:
    stream = client.answer_stream(endless())
    assert next(stream).index == 0
    stream.close()
    assert service.stream_over.wait(20)
    with pytest.raises(StopIteration):
        next(stream)


def test_the_iterable_is_left_alone_after_the_stream(client: Any, service: FakeService) -> None:
    pairs = endless()
    service.stream = lambda requests, context: in_order(islice(requests, 1), context)
    with pytest.raises(spanqa.InternalError, match="before it had answered every pair"):
        list(client.answer_stream(pairs))
    assert next(pairs)[0] == "Who?"


def test_closing_the_client_ends_its_streams_with_an_error(
    client: Any, service: FakeService
) -> None:
    stream = client.answer_stream(endless())
    next(stream)
    client.close()
    with pytest.raises(spanqa.CallCancelledError, match="closed"):
        list(stream)


def test_a_stream_has_no_deadline_but_its_own(connect: Connect, service: FakeService) -> None:
    client = connect(timeout=7.0)
    list(client.answer_stream(numbered(1)))
    list(client.answer_stream(numbered(1), timeout=3600))
    without, with_timeout = service.time_remaining
    assert without is None or without > 1e6
    assert with_timeout is not None
    assert 3000 < with_timeout < 4000


def test_a_stream_over_its_time_fails(client: Any, service: FakeService) -> None:
    service.stream = never
    with pytest.raises(spanqa.DeadlineExceededError):
        list(client.answer_stream(numbered(2), timeout=0.2))


def test_pairs_may_depend_on_items_that_the_loop_has_got(service: FakeService) -> None:
    follow_up: queue.SimpleQueue[str] = queue.SimpleQueue()
    follow_up.put("Ada")

    def pairs() -> Iterator[tuple[str, str]]:
        while context := follow_up.get(timeout=20):
            yield "Who?", context

    seen: list[str] = []
    with spanqa.Client(service.target) as client:
        for item in client.answer_stream(pairs()):
            assert isinstance(item.outcome, spanqa.AnswerResult)
            assert item.outcome.best is not None
            seen.append(item.outcome.best.text)
            follow_up.put(f"{seen[-1]}!" if len(seen) < 4 else "")
    assert seen == ["Ada", "Ada!", "Ada!!", "Ada!!!"]


def test_an_iterable_that_waits_does_not_hold_up_an_abort(service: FakeService) -> None:
    released = threading.Event()

    def pairs() -> Iterator[tuple[str, str]]:
        yield "Who?", "Ada"
        released.wait(60)

    service.stream = abort_after(1, grpc.StatusCode.ABORTED)
    with spanqa.Client(service.target) as client:
        stream = client.answer_stream(pairs())
        next(stream)
        with pytest.raises(spanqa.SpanQAError, match="ABORTED: going away"):
            next(stream)
    assert not released.is_set()
    released.set()
