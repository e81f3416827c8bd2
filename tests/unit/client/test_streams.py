"""Streams of both clients over a real socket: order, errors of pairs, laziness."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import grpc
import pytest

import spanqa
from spanqa import Options, Pair
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.conftest import Connect
from unit.client.fake_service import (
    FakeService,
    Requests,
    Responses,
    in_order,
    numbered,
    stream_response,
)


def test_items_come_as_they_are_ready_and_say_which_pair_they_are(
    client: Any, service: FakeService
) -> None:
    def reversed_by_four(requests: Requests, context: grpc.ServicerContext) -> Responses:
        while group := list(islice(requests, 4)):
            yield from map(stream_response, reversed(group))

    service.stream = reversed_by_four
    items = list(client.answer_stream(numbered(10)))
    assert [item.index for item in items] == [3, 2, 1, 0, 7, 6, 5, 4, 9, 8]
    assert all(item.outcome.best.text == f"Ada{item.index}" for item in items)


def test_messages_carry_ids_options_and_metadata(connect: Connect, service: FakeService) -> None:
    seen: list[pb.StreamAnswerRequest] = []

    def remember(requests: Requests, context: grpc.ServicerContext) -> Responses:
        for request in requests:
            seen.append(request)
            yield stream_response(request)

    service.stream = remember
    pairs = [("Who?", "Ada"), Pair("When?", "In 1843", Options(top_k=3))]
    list(connect(token="secret").answer_stream(pairs))
    assert [(r.id, r.request.question, r.request.options.top_k) for r in seen] == [
        ("0", "Who?", 1),
        ("1", "When?", 3),
    ]
    assert seen[0].request.options.offset_encoding == pb.OFFSET_ENCODING_UTF32
    assert service.metadata[0]["authorization"] == "Bearer secret"


def test_a_pair_that_is_refused_is_an_item_and_the_stream_goes_on(client: Any) -> None:
    items = list(client.answer_stream([("Who?", "Ada"), ("Who?", " "), ("Who?", "Bob")]))
    assert [item.index for item in items] == [0, 1, 2]
    refused = items[1].outcome
    assert isinstance(refused, spanqa.InvalidArgumentError)
    assert refused.reason == "NOT_VALID"
    assert refused.field_violations[0].field == "request.context"
    assert items[2].outcome.best.text == "Bob"


def test_an_item_that_is_neither_answer_nor_error(client: Any, service: FakeService) -> None:
    service.stream = lambda requests, context: (
        pb.StreamAnswerResponse(id=request.id) for request in requests
    )
    (item,) = client.answer_stream(numbered(1))
    assert isinstance(item.outcome, spanqa.InternalError)


def test_no_pairs_give_no_items(client: Any) -> None:
    assert list(client.answer_stream([])) == []


def ids(*names: str) -> Callable[[Requests, grpc.ServicerContext], Responses]:
    """A server that reads two pairs, answers these ids and ends the stream."""

    def reply(requests: Requests, context: grpc.ServicerContext) -> Responses:
        list(islice(requests, 2))
        for name in names:
            yield pb.StreamAnswerResponse(id=name, response=pb.AnswerResponse())

    return reply


@pytest.mark.parametrize(
    ("answered", "pairs", "message"),
    [
        (["0"], 2, "before it had answered every pair"),
        (["0", "1"], 5, "before it had answered every pair"),
        (["0", "0"], 2, "a pair '0' that was not waiting"),
        (["0", "9"], 2, "a pair '9' that was not waiting"),
        (["x"], 2, "a pair 'x' that was not waiting"),
    ],
)
def test_a_server_that_breaks_the_rules_is_an_error(
    client: Any, service: FakeService, answered: list[str], pairs: int, message: str
) -> None:
    service.stream = ids(*answered)
    with pytest.raises(spanqa.InternalError, match=message):
        list(client.answer_stream(numbered(pairs)))


def test_nothing_happens_before_the_first_item_is_asked_for(
    client: Any, service: FakeService
) -> None:
    pairs = numbered(2)
    stream = client.answer_stream(pairs)
    assert service.requests == []
    assert next(pairs) == ("Who?", "Ada0 did.")
    assert [item.outcome.best.text for item in stream] == ["Ada1"]


def test_a_consumer_that_reads_late_gets_everything(client: Any, service: FakeService) -> None:
    """The first answer is read, the others only once the server has had its say."""
    all_read = threading.Event()

    def remember(requests: Requests, context: grpc.ServicerContext) -> Responses:
        yield from in_order(requests, context)
        all_read.set()

    service.stream = remember
    stream = client.answer_stream(numbered(100))
    first = next(stream)
    assert all_read.wait(20)
    assert [item.index for item in (first, *stream)] == list(range(100))


def test_streams_run_side_by_side_on_one_client(client: Any) -> None:
    streams = [client.answer_stream(numbered(5)) for _ in range(3)]
    rows = list(zip(*streams, strict=True))
    assert [[item.index for item in row] for row in rows] == [[index] * 3 for index in range(5)]


class Tracked(str):
    """A text that knows how many of its kind are alive."""

    alive = 0

    def __new__(cls, text: str) -> Tracked:
        cls.alive += 1
        return super().__new__(cls, text)

    def __del__(self) -> None:
        type(self).alive -= 1


def test_pairs_are_taken_as_the_server_reads_and_not_kept(client: Any) -> None:
    total, taken, ahead, alive = 2_000, 0, 0, 0

    def pairs() -> Iterator[Pair]:
        nonlocal taken
        for index in range(total):
            taken += 1
            yield Pair("Who?", Tracked(f"Ada{index} " + "x" * 4096))

    items = 0
    for _ in client.answer_stream(pairs()):
        items += 1
        ahead = max(ahead, taken - items)
        alive = max(alive, Tracked.alive)
    assert items == taken == total
    assert ahead <= 128
    assert alive < 5


def test_as_many_pairs_as_may_be_are_under_way_at_once(client: Any, service: FakeService) -> None:
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
    items = list(client.answer_stream(pairs()))
    assert sorted(item.index for item in items) == list(range(300))
    assert under_way == [128, 256, 300]
