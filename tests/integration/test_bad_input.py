"""Bad input gets a clear error that names the field, and the next call is answered."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import reason, refused, violations

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
    status = refused(lambda: stub.Answer(request, timeout=30))
    assert reason(status) == "INVALID_REQUEST"
    [(named, description)] = violations(status).items()
    assert named == field
    assert told in description
    assert field in status.message


def test_all_violations_are_told_at_once(stub: QuestionAnsweringServiceStub) -> None:
    options = pb.AnswerOptions(top_k=-1, min_probability=2)
    request = pb.AnswerRequest(context=CONTEXT, options=options)
    fields = violations(refused(lambda: stub.Answer(request, timeout=30)))
    assert list(fields) == ["question", "options.top_k", "options.min_probability"]


RAW = {
    "no protobuf": b"\xff\xff\xff",
    "cut short": b"\x0a\x05abc",
    "no UTF-8": b"\x0a\x02\xc3\x28",
    "a pair of surrogates": b"\x12\x06\xed\xa0\xbd\xed\xb8\x80",
    "zeros": b"\x00" * 64,
}


@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
def test_bytes_that_are_no_request(channel: grpc.Channel, raw: bytes) -> None:
    call: Any = channel.unary_unary(ANSWER)
    status = refused(lambda: call(raw, timeout=30))
    assert reason(status) == "MALFORMED_REQUEST"
    assert "spanqa.v1.AnswerRequest" in status.message


@pytest.mark.parametrize(
    ("method", "size", "code"),
    [("Answer", 17 << 20, "RESOURCE_EXHAUSTED"), ("Guess", 0, "UNIMPLEMENTED")],
    ids=["a message over the limit", "an unknown method"],
)
def test_what_grpc_refuses(channel: grpc.Channel, method: str, size: int, code: str) -> None:
    call: Any = channel.unary_unary(f"/spanqa.v1.QuestionAnsweringService/{method}")
    with pytest.raises(grpc.RpcError) as raised:
        call(b"\x0a" * size, timeout=30)
    assert raised.value.code().name == code
