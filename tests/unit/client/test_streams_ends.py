"""How streams of both clients end: aborts, failing iterables, deadlines, leaving the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count, islice

import grpc
import pytest

import spanqa
from spanqa import Pair
from unit.client.fake_service import (
    FakeService,
    Read,
    Requests,
    Responses,
    numbered,
    stream_response,
    until_gone,
)


def test_an_abort_raises_after_the_items_before_it(read: Read, service: FakeService) -> None:
    def abort_after_three(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield from map(stream_response, islice(requests, 3))
        context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

    service.stream = abort_after_three
    items: list[spanqa.StreamItem] = []
    with pytest.raises(spanqa.UnavailableError, match="going away") as caught:
        read(numbered(10), items.append)
    assert [item.index for item in items] == [0, 1, 2]
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def test_an_abort_while_pairs_are_sent_keeps_its_status(read: Read, service: FakeService) -> None:
    def abort_after_three(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield from map(stream_response, islice(requests, 3))
        context.abort(grpc.StatusCode.ABORTED, "going away")

    def endless() -> Iterator[tuple[str, str]]:
        return (("Who?", "Ada " + "x" * 30_000) for _ in count())

    service.stream = abort_after_three
    # What comes first, the status or the failed write, is chance.
    for _ in range(20):
        items: list[spanqa.StreamItem] = []
        with pytest.raises(spanqa.SpanQAError, match="ABORTED: going away"):
            read(endless(), items.append)
        assert [item.index for item in items] == [0, 1, 2]


def test_a_stream_is_not_retried(read: Read, service: FakeService) -> None:
    service.failures = [(grpc.StatusCode.UNAVAILABLE, "starting")]
    with pytest.raises(spanqa.UnavailableError, match="starting"):
        read(numbered(10))
    assert len(service.requests) == 1


class Broken(BaseException):
    """Not an Exception: gRPC would let this one end its thread and leave the call waiting."""


@pytest.mark.parametrize("error", [LookupError("no more"), Broken(), asyncio.CancelledError()])
@pytest.mark.parametrize("before", [0, 2])
def test_what_the_iterable_raises_reaches_the_caller_as_it_is(
    read: Read, service: FakeService, error: BaseException, before: int
) -> None:
    def wait_after_two(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield from map(stream_response, islice(requests, 2))
        until_gone(context)

    def failing() -> Iterator[tuple[str, str]]:
        yield from numbered(before)
        raise error

    service.stream = wait_after_two
    # With no pair before it, the call may end before the server hears of it.
    over = service.stream_over if before else None
    with pytest.raises(type(error)) as caught:
        read(failing(), over=over)
    assert caught.value is error


def test_a_pair_that_cannot_be_sent_is_named_and_ends_the_stream(
    read: Read, service: FakeService
) -> None:
    with pytest.raises(ValueError, match=r"^pairs\[3\]\.context holds a lone surrogate"):
        read([*numbered(3), ("Who?", "\udc80")])
    with pytest.raises(TypeError, match=r"^pairs\[0\] must be a spanqa\.Pair"):
        read(["Who?"])


@pytest.mark.parametrize("pairs", ["text", 7])
def test_what_is_no_iterable_of_pairs_is_refused_at_once(
    read: Read, service: FakeService, pairs: object
) -> None:
    with pytest.raises(TypeError, match=r"^pairs must be a list"):
        read(pairs)
    with pytest.raises(ValueError, match="timeout is 0"):
        read([], timeout=0)
    assert service.requests == []


class Tracked(str):
    """A text that knows how many of its kind are alive."""

    alive = 0

    def __new__(cls, text: str) -> Tracked:
        cls.alive += 1
        return super().__new__(cls, text)

    def __del__(self) -> None:
        type(self).alive -= 1


def test_pairs_are_taken_as_the_server_reads_and_not_kept(read: Read) -> None:
    total, taken, ahead, alive = 5_000, 0, 0, 0

    def pairs() -> Iterator[Pair]:
        nonlocal taken
        for index in range(total):
            taken += 1
            yield Pair("Who?", Tracked(f"Ada{index} " + "x" * 4096))

    items = 0

    def on_item(item: spanqa.StreamItem) -> None:
        nonlocal items, ahead, alive
        items += 1
        ahead = max(ahead, taken - items)
        alive = max(alive, Tracked.alive)

    read(pairs(), on_item)
    assert items == taken == total
    assert ahead <= 128
    assert alive < 5


def test_as_many_pairs_as_may_be_are_under_way_at_once(read: Read, service: FakeService) -> None:
    taken, under_way = 0, []

    def pairs() -> Iterator[tuple[str, str]]:
        nonlocal taken
        for pair in numbered(300):
            taken += 1
            yield pair

    def answer_all_together(requests: Requests, context: grpc.ServicerContext) -> Responses:
        while together := list(islice(requests, 128)):
            under_way.append(taken)
            yield from map(stream_response, together)

    service.stream = answer_all_together
    items: list[spanqa.StreamItem] = []
    read(pairs(), items.append)
    assert sorted(item.index for item in items) == list(range(300))
    assert under_way == [128, 256, 300]


def test_leaving_the_loop_cancels_a_stream_without_end(read: Read, service: FakeService) -> None:
    items: list[spanqa.StreamItem] = []

    def stop_at_three(item: spanqa.StreamItem) -> str | None:
        items.append(item)
        return "stop" if len(items) == 3 else None

    endless = (("Who?", f"Ada{index}") for index in count())
    read(endless, stop_at_three, over=service.stream_over)
    assert [item.index for item in items] == [0, 1, 2]


def test_a_stream_has_no_deadline_but_its_own(read: Read, service: FakeService) -> None:
    read(numbered(1), client={"timeout": 7.0})
    read(numbered(1), client={"timeout": 7.0}, timeout=3600)
    without, with_timeout = service.time_remaining
    assert without is None or without > 1e6
    assert with_timeout is not None
    assert 3000 < with_timeout < 4000


def test_a_stream_over_its_time_fails(read: Read, service: FakeService) -> None:
    def never(requests: Requests, context: grpc.ServicerContext) -> Responses:
        until_gone(context)
        return iter(())

    service.stream = never
    with pytest.raises(spanqa.DeadlineExceededError):
        read(numbered(2), timeout=0.2)
