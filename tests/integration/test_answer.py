"""Answers through the whole path: real gRPC, real Triton, the default model."""

import math
from typing import Any

import numpy as np
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import UNITS, cut, rank

CONTEXT = "Marie Curie was born in Warsaw in 1867. She moved to Paris in 1891 to study physics."
FILLER = "The rain went on and nobody in the village said a word about the matter. "


def ask(
    stub: QuestionAnsweringServiceStub, question: str, context: str, **options: Any
) -> pb.AnswerResponse:
    request = pb.AnswerRequest(
        question=question, context=context, options=pb.AnswerOptions(**options)
    )
    return stub.Answer(request, timeout=60)


def test_the_answer_is_the_right_span(stub: QuestionAnsweringServiceStub) -> None:
    response = ask(stub, "Where was Marie Curie born?", CONTEXT)
    (answer,) = response.answers
    assert answer.text == "Warsaw"
    assert CONTEXT[answer.start : answer.end] == "Warsaw"
    assert answer.score == pytest.approx(answer.start_logit + answer.end_logit)
    assert 0.5 < answer.probability <= 1
    assert not response.no_answer
    assert response.model_version == "1"


def test_usage_and_timing(stub: QuestionAnsweringServiceStub) -> None:
    response = ask(stub, "Where was Marie Curie born?", CONTEXT)
    assert response.usage == pb.Usage(question_tokens=7, context_tokens=20, windows=1)
    timing = response.timing
    stages = [timing.tokenize, timing.queue, timing.infer, timing.decode]
    assert all(stage.ToNanoseconds() > 0 for stage in stages)
    assert sum(stage.ToNanoseconds() for stage in stages) <= timing.total.ToNanoseconds()


@pytest.mark.parametrize("unit", [*UNITS, pb.OFFSET_ENCODING_UNSPECIFIED])
def test_offsets_in_every_unit(
    stub: QuestionAnsweringServiceStub, unit: "pb.OffsetEncoding.ValueType"
) -> None:
    context = "👩‍🚀 𝔘nicode — naïve café, 東京. " + CONTEXT + " 🎉"
    (answer,) = ask(stub, "Where was Marie Curie born?", context, offset_encoding=unit).answers
    assert cut(context, answer.start, answer.end, unit) == answer.text == "Warsaw"


def test_top_k_spans_are_distinct_ordered_and_comparable(
    stub: QuestionAnsweringServiceStub,
) -> None:
    few = ask(stub, "When did she move to Paris?", CONTEXT, top_k=3).answers
    many = ask(stub, "When did she move to Paris?", CONTEXT, top_k=100).answers
    assert list(many[:3]) == list(few)
    assert len({(answer.start, answer.end) for answer in many}) == len(many) == 100
    assert list(many) == sorted(many, key=rank)
    assert math.fsum(answer.probability for answer in many) <= 1 + 1e-9
    assert many[0].text == "1891"


def test_an_answer_is_found_anywhere_in_a_long_text(stub: QuestionAnsweringServiceStub) -> None:
    for before, after in ((0, 60), (30, 30), (60, 0), (400, 20)):
        context = FILLER * before + CONTEXT + " " + FILLER * after
        response = ask(stub, "Where was Marie Curie born?", context)
        assert response.usage.windows > 1
        assert response.answers[0].text == "Warsaw"
        assert context[response.answers[0].start :].startswith("Warsaw")


def test_answers_do_not_depend_on_what_else_is_asked(stub: QuestionAnsweringServiceStub) -> None:
    requests = [
        pb.AnswerRequest(
            question="Where was Marie Curie born?",
            context=FILLER * (i % 7) + CONTEXT + FILLER * (i % 11),
            options=pb.AnswerOptions(top_k=3),
        )
        for i in range(48)
    ]
    alone = [stub.Answer(request, timeout=60) for request in requests]
    futures = [stub.Answer.future(request, timeout=60) for request in requests]
    together = [future.result() for future in futures]
    places = [[(a.text, a.start, a.end) for a in r.answers] for r in together]
    assert places == [[(a.text, a.start, a.end) for a in r.answers] for r in alone]
    scores = [[(a.score, a.probability) for a in r.answers] for r in together]
    for some, response in zip(scores, alone, strict=True):  # equal up to float32 rounding
        wanted = [(a.score, a.probability) for a in response.answers]
        assert np.allclose(some, wanted, rtol=0, atol=1e-4)


def test_special_token_strings_are_text(stub: QuestionAnsweringServiceStub) -> None:
    context = "The token [SEP] ends a segment. The token [CLS] starts the input. " + CONTEXT
    response = ask(stub, "Which token starts the input?", context)
    assert "CLS" in response.answers[0].text


def test_min_probability_leaves_answers_out(stub: QuestionAnsweringServiceStub) -> None:
    response = ask(stub, "Where was Marie Curie born?", CONTEXT, top_k=20, min_probability=0.3)
    assert 1 <= len(response.answers) < 20
    assert all(answer.probability >= 0.3 for answer in response.answers)


def test_get_model(stub: QuestionAnsweringServiceStub) -> None:
    model = stub.GetModel(pb.GetModelRequest(), timeout=10)
    assert (model.name, model.version, model.dtype) == ("minilm-squad", "1", "float32")
    assert len(bytes.fromhex(model.checksum)) == 32
    assert model.exact_match == pytest.approx(70.99)
    assert model.limits.max_sequence_tokens == 512
