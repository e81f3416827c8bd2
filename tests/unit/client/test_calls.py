"""Batches, documents and logits of both clients over a real socket."""

from __future__ import annotations

from typing import Any

import pytest

import spanqa
from spanqa import Document, Options, Pair
from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import MAX_BATCH_ITEMS, Call, FakeService


def test_a_batch_gives_results_and_errors_in_the_order_of_the_pairs(
    call: Call, service: FakeService
) -> None:
    pairs = [("Who?", "Ada did."), Pair("Who?", " "), Pair("When?", "In 1843", Options(top_k=2))]
    first, second, third = call("answer_batch", pairs)
    assert first.best.text == "Ada"
    assert isinstance(second, spanqa.InvalidArgumentError)
    assert (second.reason, second.retry_delay) == ("NOT_VALID", 1.5)
    assert second.field_violations == (spanqa.FieldViolation("context", "is empty"),)
    assert third.best.text == "In"
    assert len(service.requests) == 1
    assert [request.options.top_k for request in service.requests[0].requests] == [1, 1, 2]


def test_a_batch_of_any_iterable_and_of_none(call: Call) -> None:
    contexts = (f"Ada{index}" for index in range(3))
    results = call("answer_batch", (("Who?", context) for context in contexts))
    assert [result.best.text for result in results] == ["Ada0", "Ada1", "Ada2"]
    assert call("answer_batch", []) == []


def test_a_batch_over_the_servers_limit_is_one_call_that_fails(
    call: Call, service: FakeService
) -> None:
    with pytest.raises(spanqa.InvalidArgumentError, match="9 pairs, the limit is 8"):
        call("answer_batch", [("Who?", "Ada")] * (MAX_BATCH_ITEMS + 1))
    assert len(service.requests) == 1


def test_a_pair_that_cannot_be_sent_keeps_the_batch_here(call: Call, service: FakeService) -> None:
    with pytest.raises(ValueError, match=r"pairs\[3\]\.context holds a lone surrogate"):
        call("answer_batch", [*[("Who?", "Ada")] * 3, ("Who?", "\udc80")])
    with pytest.raises(TypeError, match="documents must be a list"):
        call("answer_from_documents", "Who?", "Ada")
    with pytest.raises(ValueError, match="timeout is 0"):
        call("answer_batch", [], timeout=0)
    assert service.requests == []


def test_a_reply_with_items_missing_is_an_error(call: Call, service: FakeService) -> None:
    service.batch_reply = pb.BatchAnswerResponse()
    with pytest.raises(spanqa.InternalError, match="0 items to 1 pairs"):
        call("answer_batch", [("Who?", "Ada")])


@pytest.mark.parametrize(
    "documents",
    [
        {"a": "Bob slept.", "b": "Ada wrote the program."},
        [Document("Bob slept.", id="a"), Document("Ada wrote the program.", id="b")],
    ],
    ids=["mapping", "Document"],
)
def test_documents_are_ranked_together_and_named(call: Call, documents: Any) -> None:
    result = call("answer_from_documents", "Who wrote the program?", documents, top_k=2)
    assert [answer.text for answer in result.answers] == ["Ada", "Bob"]
    assert (result.best.text, result.document_id(result.best)) == ("Ada", "b")
    assert result.document_ids == ("a", "b")
    assert result.best.document_index == 1


def test_documents_without_ids(call: Call) -> None:
    result = call("answer_from_documents", "Who?", ["Ada did.", "Bob did."])
    assert [answer.text for answer in result.answers] == ["Ada"]
    assert result.document_ids == ("", "")


def test_options_of_documents_reach_the_server(call: Call, service: FakeService) -> None:
    options: dict[str, Any] = {
        "top_k": 3,
        "max_answer_tokens": 7,
        "allow_no_answer": True,
        "no_answer_threshold": -1.5,
        "max_sequence_tokens": 128,
        "doc_stride_tokens": 64,
        "min_probability": 0.25,
    }
    call("answer_from_documents", "Who?", ["Ada"], **options)
    sent = pb.AnswerOptions(**options, offset_encoding=pb.OFFSET_ENCODING_UTF32)
    assert service.requests[0].options == sent


def test_logits_come_by_window_with_offsets_of_the_text(call: Call, service: FakeService) -> None:
    context = "Ada wrote the first program in the year 1843."
    result = call("compute_logits", "Who wrote?", context, max_sequence_tokens=12)
    assert service.requests[0].max_sequence_tokens == 12
    assert [len(window.tokens) for window in result.windows] == [11, 8]
    for window in result.windows:
        spans = zip(window.sequence_ids, window.starts, window.ends, window.tokens, strict=True)
        for sequence, start, end, token in spans:
            assert token == ("", "Who wrote?", context)[sequence][start:end]
    best = result.windows[0].start_logits.index(max(result.windows[0].start_logits))
    assert result.windows[0].tokens[best] == "Ada"
    assert result.model_version == "1"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("answer_batch", [[("Who?", "Ada")]]),
        ("answer_from_documents", ["Who?", ["Ada"]]),
        ("compute_logits", ["Who?", "Ada"]),
    ],
)
def test_every_call_has_a_deadline(
    call: Call, service: FakeService, method: str, arguments: list[Any]
) -> None:
    call(method, *arguments, timeout=3600)
    call(method, *arguments)
    by_call, by_client = service.time_remaining
    assert by_call is not None
    assert by_client is not None
    assert by_client < 100 < by_call < 4000
