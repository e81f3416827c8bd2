"""A checkpoint trained on SQuAD v2 rows says that there is no answer, where it may."""

import json
import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.answers import ask
from support.processes import run_model, running_server

PEOPLE = ["Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Henry", "Irene", "Jonas"]
NAMES = ["Berg", "Stone", "Weber", "Lopez", "Moreau", "Novak", "Hansen", "Silva", "Brown", "Rossi"]
TOWNS = ["Oslo", "Lima", "Cairo", "Boston", "Lyon", "Prague", "Kyoto", "Turin", "Dublin", "Perth"]
TOLD = "{who} was born in {town} in the winter of {year}."
SILENT = "{who} liked to swim in the cold sea and kept {year} bees."
ASKED = "Where was {who} born?"
ROWS = 600


def made_up_rows(count: int) -> list[dict[str, Any]]:
    """Paragraphs in SQuAD v2's format: a half of the questions has no answer in its text."""
    source = random.Random(5)
    rows = []
    for number in range(count):
        who = f"{source.choice(PEOPLE)} {source.choice(NAMES)}"
        town, year = source.choice(TOWNS), source.randint(1700, 1999)
        answerable = number % 2 == 0
        context = (TOLD if answerable else SILENT).format(who=who, town=town, year=year)
        answers = [{"text": town, "answer_start": context.index(town)}] if answerable else []
        question = {
            "id": str(number),
            "question": ASKED.format(who=who),
            "answers": answers,
            "is_impossible": not answerable,
        }
        rows.append({"context": context, "qas": [question]})
    return rows


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuestionAnsweringServiceStub]:
    """A server of the embedded base, trained here; its adapter is exported as it was saved."""
    directory = tmp_path_factory.mktemp("no-answer")
    paragraphs = [{"title": "made up", "paragraphs": made_up_rows(ROWS)}]
    train = directory / "train.json"
    train.write_text(json.dumps({"version": "v2.0", "data": paragraphs}))
    adapter = directory / "adapter"
    run_model("finetune", "--train", train, "--output", adapter, "--lora", "--epochs", 1)
    run_model(
        *("export", "--preset", "minilm-squad", "--adapter", adapter),
        *("--repository", directory / "repository", "--device", "cpu", "--dtype", "float32"),
    )
    with (
        running_server(directory / "repository", directory / "log") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        yield QuestionAnsweringServiceStub(channel)


QUESTION = ASKED.format(who="Vera Lindgren")
TEXTS = {
    "told": TOLD.format(who="Vera Lindgren", town="Madrid", year=1802),
    "silent": SILENT.format(who="Vera Lindgren", town="", year=30),
}


@pytest.mark.slow
def test_both_outcomes_of_the_threshold(stub: QuestionAnsweringServiceStub) -> None:
    def at(threshold: float, text: str) -> pb.AnswerResponse:
        options = {"allow_no_answer": True, "no_answer_threshold": threshold}
        return ask(stub, QUESTION, TEXTS[text], **options)

    told, silent = at(0.0, "told"), at(0.0, "silent")
    assert (told.no_answer, told.answers[0].text) == (False, "Madrid")
    assert silent.no_answer
    assert not silent.answers
    assert told.no_answer_probability < 0.5 < silent.no_answer_probability < 1
    # By more than the threshold, either way.
    plain = ask(stub, QUESTION, TEXTS["silent"])
    assert (plain.no_answer, plain.no_answer_probability) == (False, 0.0)
    assert not at(1e4, "silent").no_answer
    assert at(1e4, "silent").answers[0].text == plain.answers[0].text
    assert at(-1e4, "told").no_answer


@pytest.mark.slow
def test_documents_that_say_nothing_give_no_answer(stub: QuestionAnsweringServiceStub) -> None:
    def among(*names: str) -> pb.AnswerFromDocumentsResponse:
        documents = [pb.Document(id=name, text=TEXTS[name]) for name in names]
        options = pb.AnswerOptions(allow_no_answer=True, top_k=5)
        request = pb.AnswerFromDocumentsRequest(
            question=QUESTION, documents=documents, options=options
        )
        return stub.AnswerFromDocuments(request, timeout=30)

    found = among("silent", "told", "silent")
    assert not found.no_answer
    assert found.answers[0].text == "Madrid"
    assert {answer.document_index for answer in found.answers} == {1}
    assert among("silent", "silent").no_answer
    assert stub.GetModel(pb.GetModelRequest(), timeout=10).has_no_answer
