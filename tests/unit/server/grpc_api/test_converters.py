"""Messages to plain objects and back."""

import math

import pytest
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

COST = Cost(5, 700, 3, StageSeconds(tokenize=0.001, queue=0.0, infer=1.5, decode=2.25))
MESSAGE = pb.AnswerOptions(
    top_k=1,
    max_answer_tokens=2,
    allow_no_answer=True,
    no_answer_threshold=-0.5,
    offset_encoding=pb.OFFSET_ENCODING_UTF16,
    max_sequence_tokens=3,
    doc_stride_tokens=4,
    min_probability=0.25,
)
OPTIONS = Options(
    top_k=1,
    max_answer_tokens=2,
    allow_no_answer=True,
    no_answer_threshold=-0.5,
    offset_unit=OffsetUnit.UTF16,
    max_sequence_tokens=3,
    doc_stride_tokens=4,
    min_probability=0.25,
)


def test_every_option_is_read() -> None:
    message = pb.AnswerRequest(question="Wer?", context="Anna 😀", options=MESSAGE)
    assert read_question(message) == Question("Wer?", ("Anna 😀",), OPTIONS, "context")
    assert len(pb.AnswerOptions.DESCRIPTOR.fields) == len(Options.__dataclass_fields__)


def test_documents_are_read() -> None:
    documents = [pb.Document(id="a", text="Anna 😀"), pb.Document(), pb.Document(text="é")]
    message = pb.AnswerFromDocumentsRequest(question="Wer?", documents=documents, options=MESSAGE)
    expected = Question("Wer?", ("Anna 😀", "", "é"), OPTIONS, "documents")
    assert read_documents(message) == expected
    assert read_documents(pb.AnswerFromDocumentsRequest()).texts == ()


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
    unknown = pb.ComputeLogitsRequest.FromString(b"\x18\x09")  # offset_encoding = 9
    assert read_logits_request(unknown).options.offset_unit is None


def test_no_options_are_the_defaults() -> None:
    assert read_question(pb.AnswerRequest(question="a", context="b")).options == Options()


@pytest.mark.parametrize(
    ("number", "unit"),
    [
        (0, OffsetUnit.UTF32),
        (1, OffsetUnit.UTF8),
        (2, OffsetUnit.UTF16),
        (3, OffsetUnit.UTF32),
        (4, None),
        (-1, None),
    ],
)
def test_offset_encodings(number: int, unit: OffsetUnit | None) -> None:
    message = pb.AnswerRequest(options=pb.AnswerOptions(offset_encoding=number))  # type: ignore[arg-type]
    parsed = pb.AnswerRequest.FromString(message.SerializeToString())
    assert read_question(parsed).options.offset_unit is unit


# A span counts in code points, an answer in the caller's unit: here they differ.
SPAN = Span(2, 6, score=7.5, probability=0.75, start_logit=4.0, end_logit=3.5)


def stages(timing: pb.Timing) -> list[int]:
    """Nanoseconds."""
    names = ("tokenize", "queue", "infer", "decode", "total")
    return [getattr(timing, name).ToNanoseconds() for name in names]


def test_a_reply() -> None:
    found = AnswerSet([FoundAnswer("Anna", 0, 3, 7, SPAN)], False, 0.125, COST)
    reply = write_answers(found, "12", 4.0)
    [answer] = reply.answers
    assert (answer.text, answer.start, answer.end, answer.document_index) == ("Anna", 3, 7, 0)
    assert (answer.score, answer.probability) == (7.5, 0.75)
    assert (answer.start_logit, answer.end_logit) == (4.0, 3.5)
    assert (reply.no_answer, reply.no_answer_probability) == (False, 0.125)
    assert reply.model_version == "12"
    assert reply.usage == pb.Usage(question_tokens=5, context_tokens=700, windows=3)
    assert stages(reply.timing) == [1_000_000, 0, 1_500_000_000, 2_250_000_000, 4_000_000_000]


def test_a_reply_without_answer() -> None:
    reply = write_answers(AnswerSet([], True, 0.5, COST), "1", 0.0)
    assert reply.no_answer
    assert not reply.answers


def test_a_reply_about_documents() -> None:
    answers = [FoundAnswer("Anna", 2, 3, 7, SPAN), FoundAnswer("é", 0, 0, 2, SPAN)]
    found = AnswerSet(answers, False, 0.125, COST)
    reply = write_document_answers(found, "12", 4.0, ["a", "", "a"])
    told = [(one.text, one.document_index, one.start, one.end) for one in reply.answers]
    assert told == [("Anna", 2, 3, 7), ("é", 0, 0, 2)]
    assert list(reply.document_ids) == ["a", "", "a"]
    assert (reply.no_answer, reply.no_answer_probability) == (False, 0.125)
    assert reply.model_version == "12"
    assert reply.usage == pb.Usage(question_tokens=5, context_tokens=700, windows=3)
    assert stages(reply.timing) == [1_000_000, 0, 1_500_000_000, 2_250_000_000, 4_000_000_000]
    assert write_document_answers(AnswerSet([], True, 1.0, COST), "1", 0.0, []).no_answer


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
    reply = write_logits(LogitSet([window, window], COST), "12", 4.0)
    assert len(reply.windows) == 2
    for told in reply.windows:
        for field in pb.Window.DESCRIPTOR.fields:
            values = getattr(window, field.name)
            assert list(getattr(told, field.name)) == pytest.approx(values), field.name
    assert len(pb.Window.DESCRIPTOR.fields) == len(TokenWindow.__dataclass_fields__)
    assert reply.model_version == "12"
    assert reply.usage == pb.Usage(question_tokens=5, context_tokens=700, windows=3)
    assert stages(reply.timing)[-1] == 4_000_000_000


@given(st.floats(0, 1e6))
@settings(deadline=None)
def test_durations_are_valid_and_exact_to_the_nanosecond(seconds: float) -> None:
    message = duration(seconds)
    assert 0 <= message.nanos < 10**9
    assert math.isclose(message.seconds + message.nanos / 1e9, seconds, abs_tol=1.1e-9)
