"""BatchAnswer: every pair gets its own answer or its own status, in order."""

import math

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import FILLER, UNITS, cut, rank, reason, refused, violations

PLACES = ["Warsaw", "Graz", "Malmö", "Kraków", "東京", "Ostmark"]
QUESTION, CONTEXT = "Where was she born?", "She was born in Warsaw in 1867."
# What is wrong with each, by the field that its status must name.
BAD = [
    ("question", pb.AnswerRequest(context=CONTEXT)),
    ("question", pb.AnswerRequest(question="why " * 129, context=CONTEXT)),
    ("context", pb.AnswerRequest(question=QUESTION, context=" \n")),
    ("context", pb.AnswerRequest(question=QUESTION, context="\u200b\x00")),
    *(
        (f"options.{name}", pb.AnswerRequest(question=QUESTION, context=CONTEXT, options=options))
        for name, options in {
            "top_k": pb.AnswerOptions(top_k=101),
            "max_answer_tokens": pb.AnswerOptions(max_answer_tokens=-1),
            "max_sequence_tokens": pb.AnswerOptions(max_sequence_tokens=8),
            "doc_stride_tokens": pb.AnswerOptions(doc_stride_tokens=500),
            "min_probability": pb.AnswerOptions(min_probability=math.nan),
            "allow_no_answer": pb.AnswerOptions(allow_no_answer=True),
        }.items()
    ),
]


def good_pair(number: int) -> pb.AnswerRequest:
    """Pairs that differ in everything: lengths, windows, units, how many answers."""
    town = PLACES[number % len(PLACES)]
    return pb.AnswerRequest(
        question=f"Where was person {number} born?",
        context=f"{FILLER * (number % 9)}Person {number} was born in {town}. {FILLER}",
        options=pb.AnswerOptions(
            top_k=1 + number % 5,
            offset_encoding=UNITS[number % 3],
            max_sequence_tokens=64 if number % 7 == 0 else 0,
            max_answer_tokens=4 * (number % 4),
            min_probability=0.05 if number % 11 == 0 else 0,
        ),
    )


def hundred_pairs() -> list[pb.AnswerRequest]:
    pairs = [good_pair(number) for number in range(100)]
    for index, (_, bad) in enumerate(BAD):
        pairs[10 * index + 3].CopyFrom(bad)
    return pairs


def test_a_hundred_pairs_of_which_ten_are_bad(stub: QuestionAnsweringServiceStub) -> None:
    pairs = hundred_pairs()
    items = stub.BatchAnswer(pb.BatchAnswerRequest(requests=pairs), timeout=60).items
    kinds = [item.WhichOneof("result") for item in items]
    assert kinds == ["error" if number % 10 == 3 else "response" for number in range(100)]
    for (field, _), item in zip(BAD, items[3::10], strict=True):
        assert list(violations(item.error)) == [field]
        assert reason(item.error) == "INVALID_REQUEST"
    for number, (pair, item) in enumerate(zip(pairs, items, strict=True)):
        if item.HasField("response"):
            check_answers(pair, item.response)
            assert item.response.answers[0].text == PLACES[number % len(PLACES)]


def check_answers(pair: pb.AnswerRequest, response: pb.AnswerResponse) -> None:
    """What every reply must be, by the pair's own options."""
    options = pair.options
    assert 1 <= len(response.answers) <= options.top_k
    assert list(response.answers) == sorted(response.answers, key=rank)
    for answer in response.answers:
        assert answer.text == cut(pair.context, answer.start, answer.end, options.offset_encoding)
        assert answer.probability >= options.min_probability
        if options.max_answer_tokens:
            assert len(answer.text.split()) <= options.max_answer_tokens


def test_no_pairs_no_items(stub: QuestionAnsweringServiceStub) -> None:
    assert not stub.BatchAnswer(pb.BatchAnswerRequest(), timeout=10).items


def test_as_many_pairs_as_allowed_and_one_more(stub: QuestionAnsweringServiceStub) -> None:
    most = stub.GetModel(pb.GetModelRequest(), timeout=10).limits.max_batch_items
    pair = pb.AnswerRequest(question=QUESTION, context=CONTEXT)
    items = stub.BatchAnswer(pb.BatchAnswerRequest(requests=[pair] * most), timeout=60).items
    assert [item.response.answers[0].text for item in items] == ["Warsaw"] * most
    more = pb.BatchAnswerRequest(requests=[pair] * (most + 1))
    told = violations(refused(lambda: stub.BatchAnswer(more, timeout=10)))
    assert list(told) == ["requests"]
    assert f"the limit is {most}" in told["requests"]
    assert most == 256


def test_bad_pairs_alone(stub: QuestionAnsweringServiceStub) -> None:
    request = pb.BatchAnswerRequest(requests=[bad for _, bad in BAD])
    items = stub.BatchAnswer(request, timeout=10).items
    assert [list(violations(item.error)) for item in items] == [[field] for field, _ in BAD]
