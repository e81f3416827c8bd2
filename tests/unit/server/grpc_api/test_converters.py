"""Messages to plain objects and back."""

import math

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.grpc_api.converters import (
    duration,
    read_documents,
    read_logits_request,
    read_question,
    write_answers,
    write_document_answers,
    write_logits,
)
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.ranking import Span
from spanqa_server.qa.requests import Options, Question
from spanqa_server.qa.results import (
    AnswerSet,
    Cost,
    FoundAnswer,
    LogitSet,
    StageSeconds,
    TokenWindow,
)

COMMON = {
    "top_k": 1,
    "max_answer_tokens": 2,
    "allow_no_answer": True,
    "no_answer_threshold": -0.5,
    "max_sequence_tokens": 3,
    "doc_stride_tokens": 4,
    "min_probability": 0.25,
    "allow_overlap": True,
    "max_answers_per_document": 5,
}
MESSAGE = pb.AnswerOptions(offset_encoding=pb.OFFSET_ENCODING_UTF16, **COMMON)  # type: ignore[arg-type]
OPTIONS = Options(offset_unit=OffsetUnit.UTF16, **COMMON)  # type: ignore[arg-type]


def test_every_option_is_read() -> None:
    message = pb.AnswerRequest(question="Wer?", context="Anna 😀", options=MESSAGE)
    assert read_question(message) == Question("Wer?", ("Anna 😀",), OPTIONS, "context")
    assert len(pb.AnswerOptions.DESCRIPTOR.fields) == len(Options.__dataclass_fields__)
    assert read_question(pb.AnswerRequest(question="a", context="b")).options == Options()


def test_documents_are_read() -> None:
    documents = [pb.Document(id="a", text="Anna 😀"), pb.Document(), pb.Document(text="é")]
    message = pb.AnswerFromDocumentsRequest(question="Wer?", documents=documents, options=MESSAGE)
    expected = Question("Wer?", ("Anna 😀", "", "é"), OPTIONS, "documents", ("a", "", ""))
    assert read_documents(message) == expected


def test_a_request_for_logits_is_read() -> None:
    message = pb.ComputeLogitsRequest(
        question="Wer?",
        context="Anna 😀",
        offset_encoding=pb.OFFSET_ENCODING_UTF8,
        max_sequence_tokens=3,
        doc_stride_tokens=4,
    )
    options = Options(offset_unit=OffsetUnit.UTF8, max_sequence_tokens=3, doc_stride_tokens=4)
    assert read_logits_request(message) == Question("Wer?", ("Anna 😀",), options, "context")


UNITS = {0: OffsetUnit.UTF32, 1: OffsetUnit.UTF8, 2: OffsetUnit.UTF16, 3: OffsetUnit.UTF32}


@pytest.mark.parametrize(("number", "unit"), [*UNITS.items(), (4, None), (-1, None)])
def test_offset_encodings(number: int, unit: OffsetUnit | None) -> None:
    options = pb.AnswerOptions(offset_encoding=number)  # type: ignore[arg-type]
    raw = pb.AnswerRequest(options=options).SerializeToString()
    assert read_question(pb.AnswerRequest.FromString(raw)).options.offset_unit is unit


# A span counts in code points, an answer in the caller's unit: here they differ.
SPAN = Span(2, 6, score=7.5, probability=0.75, start_logit=4.0, end_logit=3.5)
COST = Cost(5, 700, 3, StageSeconds(tokenize=0.001, queue=0.0, infer=1.5, decode=2.25))
USAGE = pb.Usage(question_tokens=5, context_tokens=700, windows=3)
TIMING = pb.Timing(
    tokenize=Duration(nanos=1_000_000),
    queue=Duration(),
    infer=Duration(seconds=1, nanos=500_000_000),
    decode=Duration(seconds=2, nanos=250_000_000),
    total=Duration(seconds=4),
)


def answer(text: str, document: int) -> pb.Answer:
    logits = {"score": 7.5, "probability": 0.75, "start_logit": 4.0, "end_logit": 3.5}
    return pb.Answer(text=text, start=3, end=7, document_index=document, **logits)


def test_replies_with_answers() -> None:
    answers = [FoundAnswer("Anna", 0, 3, 7, SPAN), FoundAnswer("é", 2, 3, 7, SPAN)]
    found = AnswerSet(answers, False, 0.125, OffsetUnit.UTF16, COST)
    common = {
        "answers": [answer("Anna", 0), answer("é", 2)],
        "no_answer_probability": 0.125,
        "model_version": "12",
        "usage": USAGE,
        "timing": TIMING,
        "offset_encoding": pb.OFFSET_ENCODING_UTF16,
    }
    assert write_answers(found, "12", 4.0) == pb.AnswerResponse(**common)  # type: ignore[arg-type]
    ids = ["a", "", "a"]
    reply = write_document_answers(found, "12", 4.0, ids)
    assert reply == pb.AnswerFromDocumentsResponse(document_ids=ids, **common)  # type: ignore[arg-type]


def test_replies_without_answer() -> None:
    found = AnswerSet([], True, 0.5, OffsetUnit.UTF32, COST)
    for reply in (write_answers(found, "1", 0.0), write_document_answers(found, "1", 0.0, [])):
        assert (reply.no_answer, list(reply.answers)) == (True, [])


def test_a_reply_with_logits() -> None:
    window = TokenWindow(
        token_ids=[101, 7],
        tokens=["[CLS]", "##é"],
        sequence_ids=[0, 2],
        starts=[0, 3],
        ends=[0, 5],
        start_logits=[-1.5, 2.0],
        end_logits=[0.25, 1e30],
    )
    reply = write_logits(LogitSet([window, window], OffsetUnit.UTF8, COST), "12", 4.0)
    values = {name: getattr(window, name) for name in TokenWindow.__dataclass_fields__}
    assert {field.name for field in pb.Window.DESCRIPTOR.fields} == set(values)
    assert reply == pb.ComputeLogitsResponse(
        windows=[pb.Window(**values)] * 2,
        model_version="12",
        usage=USAGE,
        timing=TIMING,
        offset_encoding=pb.OFFSET_ENCODING_UTF8,
    )


@given(st.floats(0, 1e6))
@settings(deadline=None)
def test_durations_are_valid_and_exact_to_the_nanosecond(seconds: float) -> None:
    message = duration(seconds)
    assert 0 <= message.nanos < 10**9
    assert math.isclose(message.seconds + message.nanos / 1e9, seconds, abs_tol=1.1e-9)
