"""Messages to plain objects and back."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.grpc_api.messages import duration, read_question, write_answers
from spanqa_server.qa.answerer import AnswerSet, FoundAnswer, StageSeconds
from spanqa_server.qa.decoder import Span
from spanqa_server.qa.offsets import OffsetUnit
from spanqa_server.qa.requests import Options, Question


def test_every_option_is_read() -> None:
    message = pb.AnswerRequest(
        question="Wer?",
        context="Anna 😀",
        options=pb.AnswerOptions(
            top_k=1,
            max_answer_tokens=2,
            allow_no_answer=True,
            no_answer_threshold=-0.5,
            offset_encoding=pb.OFFSET_ENCODING_UTF16,
            max_sequence_tokens=3,
            doc_stride_tokens=4,
            min_probability=0.25,
        ),
    )
    assert read_question(message) == Question(
        "Wer?",
        "Anna 😀",
        Options(
            top_k=1,
            max_answer_tokens=2,
            allow_no_answer=True,
            no_answer_threshold=-0.5,
            offset_unit=OffsetUnit.UTF16,
            max_sequence_tokens=3,
            doc_stride_tokens=4,
            min_probability=0.25,
        ),
    )
    assert len(pb.AnswerOptions.DESCRIPTOR.fields) == len(Options.__dataclass_fields__)


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


def test_a_reply() -> None:
    # A span counts in code points, an answer in the caller's unit: here they differ.
    span = Span(2, 6, score=7.5, probability=0.75, start_logit=4.0, end_logit=3.5)
    found = AnswerSet(
        answers=[FoundAnswer("Anna", 3, 7, span)],
        no_answer=False,
        no_answer_probability=0.125,
        question_tokens=5,
        context_tokens=700,
        windows=3,
        seconds=StageSeconds(tokenize=0.001, queue=0.0, infer=1.5, decode=2.25),
    )
    reply = write_answers(found, "12", 4.0)
    [answer] = reply.answers
    assert (answer.text, answer.start, answer.end, answer.document_index) == ("Anna", 3, 7, 0)
    assert (answer.score, answer.probability) == (7.5, 0.75)
    assert (answer.start_logit, answer.end_logit) == (4.0, 3.5)
    assert (reply.no_answer, reply.no_answer_probability) == (False, 0.125)
    assert reply.model_version == "12"
    assert reply.usage == pb.Usage(question_tokens=5, context_tokens=700, windows=3)
    stages = ("tokenize", "queue", "infer", "decode", "total")
    times = [getattr(reply.timing, stage).ToNanoseconds() for stage in stages]
    assert times == [1_000_000, 0, 1_500_000_000, 2_250_000_000, 4_000_000_000]


def test_a_reply_without_answer() -> None:
    seconds = StageSeconds(0.0, 0.0, 0.0, 0.0)
    reply = write_answers(AnswerSet([], True, 0.5, 1, 1, 1, seconds), "1", 0.0)
    assert reply.no_answer
    assert not reply.answers


@given(st.floats(0, 1e6))
@settings(deadline=None)
def test_durations_are_valid_and_exact_to_the_nanosecond(seconds: float) -> None:
    message = duration(seconds)
    assert 0 <= message.nanos < 10**9
    assert math.isclose(message.seconds + message.nanos / 1e9, seconds, abs_tol=1.1e-9)
