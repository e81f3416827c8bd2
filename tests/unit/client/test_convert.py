"""Requests and results, without a network."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from spanqa import _convert
from spanqa.v1 import question_answering_pb2 as pb

DEFAULTS: dict[str, Any] = {
    "top_k": 1,
    "max_answer_tokens": None,
    "allow_no_answer": False,
    "no_answer_threshold": 0.0,
    "max_sequence_tokens": None,
    "doc_stride_tokens": None,
    "min_probability": 0.0,
}


@given(question=st.text(), context=st.text())
def test_any_text_goes_into_a_request_unchanged(question: str, context: str) -> None:
    # st.text() leaves surrogates out, which is exactly what can be sent.
    request = _convert.answer_request(question, context, **DEFAULTS)
    assert (request.question, request.context) == (question, context)
    assert request.options == pb.AnswerOptions(top_k=1, offset_encoding=pb.OFFSET_ENCODING_UTF32)


class Index:
    def __index__(self) -> int:
        return 5


def test_integers_of_other_types_are_taken() -> None:
    request = _convert.answer_request("q", "c", **{**DEFAULTS, "top_k": Index()})
    assert request.options.top_k == 5


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("top_k", 1.5, TypeError),
        ("top_k", True, TypeError),
        ("top_k", "1", TypeError),
        ("max_answer_tokens", 2**31, ValueError),
        ("max_sequence_tokens", -(2**40), ValueError),
        ("doc_stride_tokens", [], TypeError),
        ("allow_no_answer", 1, TypeError),
        ("no_answer_threshold", None, TypeError),
        ("min_probability", "0.5", TypeError),
    ],
)
def test_wrong_arguments_are_named(name: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name} "):
        _convert.answer_request("q", "c", **{**DEFAULTS, name: value})


def test_every_field_of_an_answer_arrives() -> None:
    answer = pb.Answer(
        text="Ada",
        start=1,
        end=4,
        score=7.5,
        probability=0.5,
        start_logit=3.25,
        end_logit=4.25,
        document_index=2,
    )
    response = pb.AnswerResponse(
        answers=[answer],
        no_answer_probability=0.25,
        model_version="3",
        usage=pb.Usage(question_tokens=4, context_tokens=5, windows=6),
        timing=pb.Timing(
            tokenize=Duration(nanos=1_000_000),
            queue=Duration(nanos=2_000_000),
            infer=Duration(seconds=1),
            decode=Duration(nanos=3_000_000),
            total=Duration(seconds=2, nanos=500_000_000),
        ),
    )
    result = _convert.answer_result(response)
    assert dataclasses.asdict(result) == {
        "answers": (
            {
                "text": "Ada",
                "start": 1,
                "end": 4,
                "score": 7.5,
                "probability": 0.5,
                "start_logit": 3.25,
                "end_logit": 4.25,
                "document_index": 2,
            },
        ),
        "no_answer": False,
        "no_answer_probability": 0.25,
        "model_version": "3",
        "usage": {"question_tokens": 4, "context_tokens": 5, "windows": 6},
        "timing": {"tokenize": 0.001, "queue": 0.002, "infer": 1.0, "decode": 0.003, "total": 2.5},
    }


def test_no_answer_has_no_best() -> None:
    result = _convert.answer_result(pb.AnswerResponse(no_answer=True, no_answer_probability=0.9))
    assert result.no_answer
    assert result.best is None


def test_every_field_of_the_model_arrives() -> None:
    # Each field of the message gets a value of its own, so a mix-up cannot go unseen.
    response = pb.GetModelResponse(has_no_answer=True)
    for number, message in enumerate((response, response.limits)):
        for field in message.DESCRIPTOR.fields:
            if field.message_type is None and field.name != "has_no_answer":
                value = 100 * number + field.number
                is_text = field.type == field.TYPE_STRING
                setattr(message, field.name, str(value) if is_text else value)
    info = dataclasses.asdict(_convert.model_info(response))
    limits = info.pop("limits")
    for message, values in ((response, info), (response.limits, limits)):
        names = {f.name for f in message.DESCRIPTOR.fields} - {"limits"}
        assert values == {name: getattr(message, name) for name in names}


def test_accuracy_that_was_not_measured_is_none() -> None:
    info = _convert.model_info(pb.GetModelResponse(f1=0.0))
    assert (info.exact_match, info.f1) == (None, 0.0)


def test_results_are_immutable() -> None:
    result = _convert.answer_result(pb.AnswerResponse())
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.no_answer = True  # type: ignore[misc]
