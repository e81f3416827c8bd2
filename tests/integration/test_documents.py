"""AnswerFromDocuments: one ranking and one scale of probability over all documents."""

import math
from collections import Counter
from typing import Any

import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import FILLER, UNITS, Place, ask, cut, place, rank, refused, violations

QUESTION = "Where was she born?"
TEXTS = [
    "She was born in Warsaw in 1867.",
    "Nobody knows. " + FILLER * 3,
    FILLER * 20 + "Her cousin, they say, was born in Graz. " + FILLER * 15,
    "東京 👩‍🚀 — she lived in Malmö, though she had been born in Kraków.",
    "Warsaw.",
    "She was born in Warsaw in 1867.",
]


def request_of(*texts: str, **options: Any) -> pb.AnswerFromDocumentsRequest:
    made = pb.AnswerOptions(**options)
    return pb.AnswerFromDocumentsRequest(
        question=QUESTION,
        documents=[pb.Document(id=f"document {at}", text=text) for at, text in enumerate(texts)],
        options=made,
    )


def ask_all(
    stub: QuestionAnsweringServiceStub, *texts: str, **options: Any
) -> pb.AnswerFromDocumentsResponse:
    return stub.AnswerFromDocuments(request_of(*texts, **options), timeout=60)


@pytest.mark.parametrize("overlap", [False, True])
def test_the_joint_ranking_is_that_of_single_answers_by_score(
    stub: QuestionAnsweringServiceStub, overlap: bool
) -> None:
    joint = ask_all(stub, *TEXTS, top_k=30, allow_overlap=overlap)
    alone = {
        (number, answer.start, answer.end): answer.score
        for number, text in enumerate(TEXTS)
        for answer in ask(stub, QUESTION, text, top_k=30, allow_overlap=overlap).answers
    }
    assert len(joint.answers) == min(30, len(alone))
    assert list(joint.answers) == sorted(joint.answers, key=rank)
    assert len({answer.document_index for answer in joint.answers}) > 2
    for answer in joint.answers:
        assert answer.score == pytest.approx(alone.pop(place(answer)), abs=1e-4)
    left_out = max(alone.values(), default=-math.inf)
    assert left_out <= joint.answers[-1].score + 1e-4, "no better one is left out"


@pytest.mark.parametrize("overlap", [False, True])
def test_few_answers_of_each_document(stub: QuestionAnsweringServiceStub, overlap: bool) -> None:
    for most in (1, 3):
        options = {"allow_overlap": overlap, "max_answers_per_document": most}
        joint = ask_all(stub, *TEXTS, top_k=30, **options).answers
        best = ask_all(stub, *TEXTS, top_k=100, allow_overlap=overlap).answers
        counts = Counter(answer.document_index for answer in joint)
        assert max(counts.values()) == most
        assert len(counts) == len(TEXTS)
        for document in counts:
            own = [answer for answer in joint if answer.document_index == document]
            all_ = [answer for answer in best if answer.document_index == document]
            assert own[: len(all_)] == all_[:most]


def test_probabilities_are_shares_of_all_documents(stub: QuestionAnsweringServiceStub) -> None:
    """The sums of exp(score) of the documents add up."""
    joint = ask_all(stub, *TEXTS, top_k=100, allow_overlap=True)
    sums = []
    for text in TEXTS:
        best = ask(stub, QUESTION, text).answers[0]
        sums.append(math.exp(best.score) / best.probability)
    for answer in joint.answers:
        expected = math.exp(answer.score) / math.fsum(sums)
        assert answer.probability == pytest.approx(expected, rel=1e-3)
    assert 0.5 < math.fsum(answer.probability for answer in joint.answers) <= 1 + 1e-9


@pytest.mark.parametrize("unit", UNITS)
def test_every_answer_leads_to_its_document(
    stub: QuestionAnsweringServiceStub, unit: "pb.OffsetEncoding.ValueType"
) -> None:
    response = ask_all(stub, *TEXTS, top_k=50, offset_encoding=unit)
    for answer in response.answers:
        document = TEXTS[answer.document_index]
        assert cut(document, answer.start, answer.end, unit) == answer.text
    assert {"Warsaw", "Kraków"} <= {answer.text for answer in response.answers}


def test_ids_come_back_in_order_whatever_they_are(stub: QuestionAnsweringServiceStub) -> None:
    ids = ["b", "", "a", "b", "東京\x00"]
    request = pb.AnswerFromDocumentsRequest(
        question=QUESTION,
        documents=[pb.Document(id=name, text=text) for name, text in zip(ids, TEXTS, strict=False)],
    )
    assert list(stub.AnswerFromDocuments(request, timeout=60).document_ids) == ids


def test_blank_documents_keep_their_number_and_hold_no_answer(
    stub: QuestionAnsweringServiceStub,
) -> None:
    without = ask_all(stub, TEXTS[0], TEXTS[3], top_k=20)
    among = ask_all(stub, "", TEXTS[0], " \n\t", "\u200b\x00", TEXTS[3], "", top_k=20)
    renumbered: dict[Place, float] = {
        ((1, 4)[answer.document_index], answer.start, answer.end): answer.score
        for answer in without.answers
    }
    assert [place(answer) for answer in among.answers] == list(renumbered)
    assert among.usage == without.usage
    assert among.document_ids == [f"document {number}" for number in range(6)]
    for answer, expected in zip(among.answers, without.answers, strict=True):
        assert answer.probability == pytest.approx(expected.probability, abs=1e-4)


def test_usage_adds_up_and_stages_take_time(stub: QuestionAnsweringServiceStub) -> None:
    response = ask_all(stub, *TEXTS)
    each = [ask(stub, QUESTION, text).usage for text in TEXTS]
    assert response.usage == pb.Usage(
        question_tokens=each[0].question_tokens,
        context_tokens=sum(usage.context_tokens for usage in each),
        windows=sum(usage.windows for usage in each),
    )
    timing = response.timing
    stages = [timing.tokenize, timing.queue, timing.infer, timing.decode]
    assert all(stage.ToNanoseconds() > 0 for stage in stages)
    assert sum(stage.ToNanoseconds() for stage in stages) <= timing.total.ToNanoseconds()


def test_as_many_documents_as_allowed(stub: QuestionAnsweringServiceStub) -> None:
    most = stub.GetModel(pb.GetModelRequest(), timeout=10).limits.max_documents
    texts = ["It rains."] * 100 + [""] * (most - 101) + [TEXTS[0]]
    response = ask_all(stub, *texts)
    assert most == 1000
    assert response.answers[0].text == "Warsaw"
    assert response.answers[0].document_index == most - 1
    assert response.usage.windows == 101


WINDOWS = request_of(*["a b " * 12_500] * 4, max_sequence_tokens=64, doc_stride_tokens=54)
TOO_MUCH = {
    "none": (request_of(), "is empty; give at least one"),
    "blank all": (request_of("", " ", "\u3000"), "is blank"),
    "unreadable all": (request_of("\u200b", "", "\x00"), "no character that the model reads"),
    "too many": (request_of(*["Yes."] * 1001), "the limit is 1000"),
    "too large together": (request_of("x" * 600_000, "y" * 448_577), "1048577 bytes of UTF-8"),
    "too many windows together": (WINDOWS, "the limit is 10000"),
}


@pytest.mark.parametrize("case", TOO_MUCH)
def test_what_is_refused(stub: QuestionAnsweringServiceStub, case: str) -> None:
    request, told = TOO_MUCH[case]
    described = violations(refused(lambda: stub.AnswerFromDocuments(request, timeout=60)))
    assert list(described) == ["documents"]
    assert told in described["documents"]


def test_all_violations_are_told_at_once(stub: QuestionAnsweringServiceStub) -> None:
    request = pb.AnswerFromDocumentsRequest(options=pb.AnswerOptions(top_k=-1))
    described = violations(refused(lambda: stub.AnswerFromDocuments(request, timeout=60)))
    assert list(described) == ["documents", "question", "options.top_k"]
