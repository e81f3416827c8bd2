"""What both clients send, and what they make of the replies, over a real socket."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import spanqa
from spanqa import Document, Options, Pair
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import MAX_BATCH_ITEMS, FakeService


@pytest.mark.parametrize(
    ("method", "context", "start"),
    [("answer", "Café au lait", 0), ("answer_from_documents", [" Café au lait"], 1)],
)
def test_options_reach_the_server_and_the_answer_the_caller(
    client: Any, service: FakeService, method: str, context: Any, start: int
) -> None:
    options: dict[str, Any] = {
        "top_k": 3,
        "max_answer_tokens": 7,
        "allow_no_answer": True,
        "no_answer_threshold": -1.5,
        "max_sequence_tokens": 128,
        "doc_stride_tokens": 64,
        "min_probability": 0.25,
        "allow_overlap": True,
        "max_answers_per_document": 2,
    }
    result = getattr(client, method)("Who?", context, **options)
    (request,) = service.requests
    assert request.question == "Who?"
    assert request.options == pb.AnswerOptions(**options, offset_encoding=pb.OFFSET_ENCODING_UTF32)
    assert result.best == result.answers[0]
    assert (result.best.text, result.best.start, result.best.end) == ("Café", start, start + 4)
    assert result.model_version == "1"
    with pytest.raises(TypeError, match="unexpected keyword argument 'topk'"):
        getattr(client, method)("Who?", context, topk=3)


def test_a_batch_gives_results_and_errors_in_the_order_of_the_pairs(
    client: Any, service: FakeService
) -> None:
    pairs = [("Who?", "Ada did."), Pair("Who?", " "), Pair("When?", "In 1843", Options(top_k=2))]
    first, second, third = client.answer_batch(pair for pair in pairs)
    assert first.best.text == "Ada"
    assert isinstance(second, spanqa.InvalidArgumentError)
    assert (second.reason, second.retry_delay) == ("NOT_VALID", 1.5)
    assert second.field_violations == (spanqa.FieldViolation("context", "is empty"),)
    assert third.best.text == "In"
    assert len(service.requests) == 1
    assert [request.options.top_k for request in service.requests[0].requests] == [1, 1, 2]
    assert client.answer_batch([]) == []


def test_a_batch_over_the_servers_limit_is_one_call_that_fails(
    client: Any, service: FakeService
) -> None:
    with pytest.raises(spanqa.InvalidArgumentError, match="9 pairs, the limit is 8"):
        client.answer_batch([("Who?", "Ada")] * (MAX_BATCH_ITEMS + 1))
    assert len(service.requests) == 1


def test_a_reply_with_items_missing_is_an_error(client: Any, service: FakeService) -> None:
    service.batch_reply = pb.BatchAnswerResponse()
    with pytest.raises(spanqa.InternalError, match="0 items to 1 pairs"):
        client.answer_batch([("Who?", "Ada")])


@pytest.mark.parametrize(
    "documents",
    [
        {"a": "Bob slept.", "b": "Ada wrote the program."},
        [Document("Bob slept.", id="a"), Document("Ada wrote the program.", id="b")],
    ],
    ids=["mapping", "Document"],
)
def test_documents_are_ranked_together_and_named(client: Any, documents: Any) -> None:
    result = client.answer_from_documents("Who wrote the program?", documents, top_k=2)
    assert [answer.text for answer in result.answers] == ["Ada", "Bob"]
    assert [result.document_id(answer) for answer in result.answers] == ["b", "a"]
    assert result.document_ids == ("a", "b")


def test_logits_come_by_window_with_offsets_of_the_text(client: Any, service: FakeService) -> None:
    context = "Ada wrote the first program in the year 1843."
    result = client.compute_logits("Who wrote?", context, max_sequence_tokens=12)
    assert service.requests[0].max_sequence_tokens == 12
    assert [len(window.tokens) for window in result.windows] == [11, 8]
    for window in result.windows:
        spans = zip(window.sequence_ids, window.starts, window.ends, window.tokens, strict=True)
        for sequence, start, end, token in spans:
            assert token == ("", "Who wrote?", context)[sequence][start:end]
    best = result.windows[0].start_logits.index(max(result.windows[0].start_logits))
    assert result.windows[0].tokens[best] == "Ada"


def test_model_info_reaches_the_caller(client: Any, service: FakeService) -> None:
    service.model.limits.max_top_k = 20
    info = client.model_info()
    assert (info.name, info.limits.max_top_k, info.f1) == ("fake", 20, None)


def test_invalid_argument_carries_the_servers_details(client: Any) -> None:
    with pytest.raises(spanqa.InvalidArgumentError) as caught:
        client.answer("Who?", "  ")
    assert caught.value.reason == "NOT_VALID"
    assert caught.value.retry_delay == 1.5
    assert caught.value.field_violations == (spanqa.FieldViolation("context", "is empty"),)


def test_responses_over_the_grpc_default_limit_arrive(client: Any, service: FakeService) -> None:
    long = "x" * 5_000_000
    service.answer = lambda request, context: pb.AnswerResponse(answers=[pb.Answer(text=long)])
    assert client.answer("Who?", "Ada").best.text == long


@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"),
    [
        ("answer", ["Who?", "Ada\udc80"], ValueError, "^context holds a lone surrogate"),
        ("answer_batch", [[("Who?", "\udc80")]], ValueError, r"^pairs\[0\]\.context holds a lone"),
        ("answer_from_documents", ["Who?", "Ada"], TypeError, "^documents must be a list"),
        ("compute_logits", [b"Who?", "Ada"], TypeError, "^question must be a str, not bytes"),
        ("answer_stream", [7], TypeError, "^pairs must be a list"),
        ("model_info", [math.inf], ValueError, "^timeout is inf"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(
    client: Any,
    service: FakeService,
    method: str,
    arguments: list[Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        getattr(client, method)(*arguments)
    with pytest.raises(ValueError, match=r"^timeout is nan"):
        client.answer_stream([], timeout=math.nan)
    assert service.requests == []


@pytest.mark.parametrize("left", [0, 0.0, -0.001, -3600])
def test_a_timeout_that_has_run_out_is_one(client: Any, service: FakeService, left: float) -> None:
    calls: list[Callable[[], object]] = [
        lambda: client.answer("Who?", "Ada", timeout=left),
        lambda: client.answer_batch([("Who?", "Ada")], timeout=left),
        lambda: client.model_info(left),
        lambda: next(client.answer_stream([("Who?", "Ada")], timeout=left)),
    ]
    for call in calls:
        with pytest.raises(spanqa.DeadlineExceededError, match="run out before the call") as raised:
            call()
        assert raised.value.reason == "DEADLINE_EXCEEDED"
    assert service.requests == []
