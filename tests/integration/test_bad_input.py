"""Bad input gets a clear error that names the field, and the next call is answered."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import reason, status_of, violations

QUESTION, CONTEXT = "Where was Marie Curie born?", "Marie Curie was born in Warsaw."
ANSWER = "/spanqa.v1.QuestionAnsweringService/Answer"


@pytest.fixture(autouse=True)
def _the_next_call_is_answered(stub: QuestionAnsweringServiceStub) -> Iterator[None]:
    yield
    good = stub.Answer(pb.AnswerRequest(question=QUESTION, context=CONTEXT), timeout=30)
    assert good.answers[0].text == "Warsaw"


CASES = {
    "empty question": ({"question": ""}, {}, "question", "empty"),
    "blank question": ({"question": " \t\n\u00a0"}, {}, "question", "blank"),
    "empty context": ({"context": ""}, {}, "context", "empty"),
    "blank context": ({"context": "\u3000 \r\n"}, {}, "context", "blank"),
    "unreadable question": ({"question": "\u200b\x00\x07"}, {}, "question", "no character"),
    "unreadable context": ({"context": "\x01\ufffd\x00"}, {}, "context", "no character"),
    "long question": ({"question": "why " * 129}, {}, "question", "limit is 128"),
    "long context": ({"context": "x" * ((1 << 20) + 1)}, {}, "context", "limit is 1048576"),
    "context long in bytes": ({"context": "東" * 350_000}, {}, "context", "1050000 bytes"),
    "negative top_k": ({}, {"top_k": -1}, "options.top_k", "0 (the default) to 100"),
    "absurd top_k": ({}, {"top_k": 2**31 - 1}, "options.top_k", "to 100"),
    "negative answer": ({}, {"max_answer_tokens": -5}, "options.max_answer_tokens", "to 256"),
    "absurd answer": ({}, {"max_answer_tokens": 257}, "options.max_answer_tokens", "to 256"),
    "negative window": ({}, {"max_sequence_tokens": -1}, "options.max_sequence_tokens", "512"),
    "absurd window": ({}, {"max_sequence_tokens": 513}, "options.max_sequence_tokens", "512"),
    "no room": ({}, {"max_sequence_tokens": 9}, "options.max_sequence_tokens", "at least 11"),
    "negative stride": ({}, {"doc_stride_tokens": -1}, "options.doc_stride_tokens", "-1"),
    "stride is the room": ({}, {"doc_stride_tokens": 374}, "options.doc_stride_tokens", "374"),
    "stride over the room": ({}, {"doc_stride_tokens": 500}, "options.doc_stride_tokens", "374"),
    "probability over 1": ({}, {"min_probability": 1.5}, "options.min_probability", "0 to 1"),
    "probability is NaN": ({}, {"min_probability": float("nan")}, "options.min_probability", "nan"),
    "threshold is infinite": (
        {},
        {"no_answer_threshold": float("inf")},
        "options.no_answer_threshold",
        "finite",
    ),
    "no-answer": ({}, {"allow_no_answer": True}, "options.allow_no_answer", "not trained"),
    "unknown unit": ({}, {"offset_encoding": 99}, "options.offset_encoding", "unknown"),
    "too many windows": (
        {"context": "a b " * 10_000},
        {"doc_stride_tokens": 373},
        "context",
        "limit is 10000",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_field_and_the_limit_are_named(stub: QuestionAnsweringServiceStub, case: str) -> None:
    texts, options, field, told = CASES[case]
    request = pb.AnswerRequest(
        **{"question": QUESTION, "context": CONTEXT, **texts},
        options=pb.AnswerOptions(**options),  # type: ignore[arg-type]
    )
    with pytest.raises(grpc.RpcError) as raised:
        stub.Answer(request, timeout=30)
    status = status_of(raised.value)
    assert reason(status) == "INVALID_REQUEST"
    [(named, description)] = violations(status).items()
    assert named == field
    assert told in description
    assert field in status.message


def test_all_violations_are_told_at_once(stub: QuestionAnsweringServiceStub) -> None:
    options = pb.AnswerOptions(top_k=-1, min_probability=2)
    with pytest.raises(grpc.RpcError) as raised:
        stub.Answer(pb.AnswerRequest(context=CONTEXT, options=options), timeout=30)
    fields = violations(status_of(raised.value))
    assert list(fields) == ["question", "options.top_k", "options.min_probability"]


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xff\xff", b"\x0a\x05abc", b"\x0a\x02\xc3\x28", b"\x12\x03\xed\xa0\x80", b"\x00" * 64],
    ids=["no protobuf", "cut short", "no UTF-8", "lone surrogate", "zeros"],
)
def test_bytes_that_are_no_request(channel: grpc.Channel, raw: bytes) -> None:
    call: Any = channel.unary_unary(ANSWER)
    with pytest.raises(grpc.RpcError) as raised:
        call(raw, timeout=30)
    status = status_of(raised.value)
    assert reason(status) == "MALFORMED_REQUEST"
    assert "spanqa.v1.AnswerRequest" in status.message


def test_a_message_over_the_limit(channel: grpc.Channel) -> None:
    call: Any = channel.unary_unary(ANSWER)
    with pytest.raises(grpc.RpcError) as raised:
        call(b"\x0a" * (17 << 20), timeout=30)
    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_unknown_method(channel: grpc.Channel) -> None:
    call: Any = channel.unary_unary("/spanqa.v1.QuestionAnsweringService/Guess")
    with pytest.raises(grpc.RpcError) as raised:
        call(b"", timeout=30)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
