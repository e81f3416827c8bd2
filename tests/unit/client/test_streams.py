"""Streams of both clients over a real socket: order, errors, laziness, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import grpc
import pytest

import spanqa
from spanqa import Options, Pair
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import (
    FakeService,
    Read,
    Requests,
    Responses,
    numbered,
    stream_response,
)


def text_of(item: spanqa.StreamItem) -> str:
    assert isinstance(item.outcome, spanqa.AnswerResult)
    assert item.outcome.best is not None
    return item.outcome.best.text


def test_items_come_as_they_are_ready_and_say_which_pair_they_are(
    read: Read, service: FakeService
) -> None:
    def reversed_by_four(requests: Requests, context: grpc.ServicerContext) -> Responses:
        while group := list(islice(requests, 4)):
            yield from map(stream_response, reversed(group))

    service.stream = reversed_by_four
    items: list[spanqa.StreamItem] = []
    read(numbered(10), items.append)
    assert [item.index for item in items] == [3, 2, 1, 0, 7, 6, 5, 4, 9, 8]
    assert all(text_of(item) == f"Ada{item.index}" for item in items)


def test_messages_carry_ids_options_and_metadata(read: Read, service: FakeService) -> None:
    seen: list[pb.StreamAnswerRequest] = []

    def remember(requests: Requests, context: grpc.ServicerContext) -> Responses:
        for request in requests:
            seen.append(request)
            yield stream_response(request)

    service.stream = remember
    pairs = [("Who?", "Ada"), Pair("When?", "In 1843", Options(top_k=3))]
    read(pairs, client={"token": "secret"})
    assert [(r.id, r.request.question, r.request.options.top_k) for r in seen] == [
        ("0", "Who?", 1),
        ("1", "When?", 3),
    ]
    assert seen[0].request.options.offset_encoding == pb.OFFSET_ENCODING_UTF32
    assert service.metadata[0]["authorization"] == "Bearer secret"


def test_a_pair_that_is_refused_is_an_item_and_the_stream_goes_on(read: Read) -> None:
    items: list[spanqa.StreamItem] = []
    read([("Who?", "Ada"), ("Who?", " "), ("Who?", "Bob")], items.append)
    assert [item.index for item in items] == [0, 1, 2]
    refused = items[1].outcome
    assert isinstance(refused, spanqa.InvalidArgumentError)
    assert refused.reason == "NOT_VALID"
    assert refused.field_violations[0].field == "request.context"
    assert text_of(items[2]) == "Bob"


def test_no_pairs_give_no_items(read: Read) -> None:
    items: list[spanqa.StreamItem] = []
    read([], items.append)
    assert items == []


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
    read: Read, service: FakeService, answered: list[str], pairs: int, message: str
) -> None:
    service.stream = ids(*answered)
    with pytest.raises(spanqa.InternalError, match=message):
        read(numbered(pairs))


def test_an_item_that_is_neither_answer_nor_error(read: Read, service: FakeService) -> None:
    service.stream = lambda requests, context: (
        pb.StreamAnswerResponse(id=request.id) for request in requests
    )
    items: list[spanqa.StreamItem] = []
    read(numbered(1), items.append)
    assert isinstance(items[0].outcome, spanqa.InternalError)
