"""Answers through the whole path: real gRPC, real Triton, the default model."""

import math
from itertools import pairwise

import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import FILLER, UNITS, ask, rank

WHERE = "Where was Marie Curie born?"
CONTEXT = "Marie Curie was born in Warsaw in 1867. She moved to Paris in 1891 to study physics."


def test_the_answer_is_the_right_span(stub: QuestionAnsweringServiceStub) -> None:
    response = ask(stub, WHERE, CONTEXT)
    (answer,) = response.answers
    assert answer.text == "Warsaw"
    assert CONTEXT[answer.start : answer.end] == "Warsaw"
    assert answer.score == pytest.approx(answer.start_logit + answer.end_logit)
    assert 0.5 < answer.probability <= 1
    assert not response.no_answer
    assert response.model_version == "1"


def test_usage_and_timing(stub: QuestionAnsweringServiceStub) -> None:
    response = ask(stub, WHERE, CONTEXT)
    assert response.usage == pb.Usage(question_tokens=7, context_tokens=20, windows=1)
    timing = response.timing
    stages = [timing.tokenize, timing.queue, timing.infer, timing.decode]
    assert all(stage.ToNanoseconds() > 0 for stage in stages)
    assert sum(stage.ToNanoseconds() for stage in stages) <= timing.total.ToNanoseconds()


def test_top_k_spans_are_distinct_ordered_and_comparable(
    stub: QuestionAnsweringServiceStub,
) -> None:
    question = "When did she move to Paris?"
    few = ask(stub, question, CONTEXT, top_k=3, allow_overlap=True).answers
    many = ask(stub, question, CONTEXT, top_k=100, allow_overlap=True).answers
    assert list(many[:3]) == list(few)
    assert len({(answer.start, answer.end) for answer in many}) == len(many) == 100
    assert list(many) == sorted(many, key=rank)
    assert math.fsum(answer.probability for answer in many) <= 1 + 1e-9
    assert many[0].text == "1891"
    options = {"allow_overlap": True, "min_probability": 0.01}
    likely = ask(stub, question, CONTEXT, top_k=100, **options).answers
    assert list(likely) == [answer for answer in many if answer.probability >= 0.01]
    assert 1 <= len(likely) < 100


@pytest.mark.parametrize("repeats", [1, 40])
def test_answers_do_not_overlap(stub: QuestionAnsweringServiceStub, repeats: int) -> None:
    context = " ".join([CONTEXT] * repeats)
    answers = list(ask(stub, WHERE, context, top_k=100).answers)
    assert answers == sorted(answers, key=rank)
    places = sorted((answer.start, answer.end) for answer in answers)
    assert all(end <= start for (_, end), (start, _) in pairwise(places))
    expected: list[pb.Answer] = []
    for span in ask(stub, WHERE, context, top_k=100, allow_overlap=True).answers:
        if all(span.end <= one.start or one.end <= span.start for one in expected):
            expected.append(span)
    assert answers[: len(expected)] == expected
    assert len(answers) > len(expected) > 1


@pytest.mark.parametrize("unit", [pb.OFFSET_ENCODING_UNSPECIFIED, *UNITS])
def test_a_reply_names_the_unit_of_its_offsets(
    stub: QuestionAnsweringServiceStub, unit: "pb.OffsetEncoding.ValueType"
) -> None:
    named = unit or pb.OFFSET_ENCODING_UTF32
    assert ask(stub, WHERE, CONTEXT, offset_encoding=unit).offset_encoding == named
    request = pb.ComputeLogitsRequest(question=WHERE, context=CONTEXT, offset_encoding=unit)
    assert stub.ComputeLogits(request, timeout=60).offset_encoding == named
    documents = pb.AnswerFromDocumentsRequest(
        question=WHERE,
        documents=[pb.Document(text=CONTEXT)],
        options=pb.AnswerOptions(offset_encoding=unit),
    )
    assert stub.AnswerFromDocuments(documents, timeout=60).offset_encoding == named


def test_an_answer_is_found_anywhere_in_a_long_text(stub: QuestionAnsweringServiceStub) -> None:
    for before, after in ((0, 60), (30, 30), (60, 0), (400, 20)):
        context = FILLER * before + CONTEXT + " " + FILLER * after
        response = ask(stub, WHERE, context)
        assert response.usage.windows > 1
        assert response.answers[0].text == "Warsaw"
        assert context[response.answers[0].start :].startswith("Warsaw")


def test_a_model_trained_on_v1_answers_any_question(stub: QuestionAnsweringServiceStub) -> None:
    (answer,) = ask(stub, "Who is the king?", "bananas").answers
    assert answer.text == "bananas"
    assert answer.probability == pytest.approx(1.0)


def test_get_model(stub: QuestionAnsweringServiceStub) -> None:
    model = stub.GetModel(pb.GetModelRequest(), timeout=10)
    assert (model.name, model.version, model.dtype) == ("minilm-squad", "1", "float32")
    assert len(bytes.fromhex(model.checksum)) == 32
    assert model.exact_match == pytest.approx(70.99)
    assert model.limits.max_sequence_tokens == 512
