"""What only the blocking client's streams do: threads, closing, slow consumers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from itertools import count, islice

import grpc
import pytest

import spanqa
from unit.client.fake_service import FakeService, Requests, Responses, in_order, stream_response


@pytest.fixture
def client(service: FakeService) -> Iterator[spanqa.Client]:
    with spanqa.Client(service.target) as made:
        yield made


def endless() -> Iterator[tuple[str, str]]:
    return (("Who?", f"Ada{index}") for index in count())


def test_nothing_happens_before_the_first_item_is_asked_for(
    client: spanqa.Client, service: FakeService
) -> None:
    taken: list[int] = []

    def pairs() -> Iterator[tuple[str, str]]:
        taken.append(1)
        yield ("Who?", "Ada")

    stream = client.answer_stream(pairs())
    assert (taken, service.requests) == ([], [])
    assert [item.index for item in stream] == [0]


def test_closing_cancels_the_call(client: spanqa.Client, service: FakeService) -> None:
    stream = client.answer_stream(endless())
    assert next(stream).index == 0
    stream.close()
    assert service.stream_over.wait(20)
    with pytest.raises(StopIteration):
        next(stream)


def test_pairs_may_depend_on_items_that_the_loop_has_got(client: spanqa.Client) -> None:
    follow_up: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def pairs() -> Iterator[tuple[str, str]]:
        context: str | None = "Ada"
        while context is not None:
            yield "Who?", context
            context = follow_up.get(timeout=20)

    seen: list[str] = []
    for item in client.answer_stream(pairs()):
        assert isinstance(item.outcome, spanqa.AnswerResult)
        assert item.outcome.best is not None
        seen.append(item.outcome.best.text)
        follow_up.put(f"{seen[-1]}!" if len(seen) < 4 else None)
    assert seen == ["Ada", "Ada!", "Ada!!", "Ada!!!"]


def test_a_consumer_that_reads_late_gets_everything(
    client: spanqa.Client, service: FakeService
) -> None:
    """The first answer is read, the others only once the server has had its say."""
    all_read = threading.Event()

    def remember(requests: Requests, context: grpc.ServicerContext) -> Responses:
        for request in requests:
            yield stream_response(request)
        all_read.set()

    service.stream = remember
    stream = client.answer_stream(islice(endless(), 100))
    first = next(stream)
    assert all_read.wait(20)
    assert [item.index for item in (first, *stream)] == list(range(100))


def test_streams_run_side_by_side_on_one_client(client: spanqa.Client) -> None:
    streams = [client.answer_stream(islice(endless(), 5)) for _ in range(3)]
    rows = list(zip(*streams, strict=True))
    assert [[item.index for item in row] for row in rows] == [[index] * 3 for index in range(5)]


def test_closing_the_client_ends_its_streams_with_an_error(
    client: spanqa.Client, service: FakeService
) -> None:
    stream = client.answer_stream(endless())
    next(stream)
    client.close()
    with pytest.raises(spanqa.CallCancelledError):
        list(stream)


def test_a_closed_client_says_so(client: spanqa.Client) -> None:
    early = client.answer_stream(endless())
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.answer_stream(endless())
    with pytest.raises(RuntimeError, match="closed"):
        next(early)


def test_an_iterable_that_waits_does_not_hold_up_an_abort(
    client: spanqa.Client, service: FakeService
) -> None:
    released = threading.Event()

    def pairs() -> Iterator[tuple[str, str]]:
        yield "Who?", "Ada"
        released.wait(60)

    def abort(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield stream_response(next(requests))
        context.abort(grpc.StatusCode.ABORTED, "no more")

    service.stream = abort
    stream = client.answer_stream(pairs())
    next(stream)
    with pytest.raises(spanqa.SpanQAError, match="ABORTED: no more"):
        next(stream)
    assert not released.is_set()
    released.set()


def test_the_iterable_is_left_alone_after_the_stream(
    client: spanqa.Client, service: FakeService
) -> None:
    pairs = endless()
    service.stream = lambda requests, context: in_order(islice(requests, 1), context)
    with pytest.raises(spanqa.InternalError, match="before it had answered every pair"):
        list(client.answer_stream(pairs))
    assert next(pairs)[0] == "Who?"
