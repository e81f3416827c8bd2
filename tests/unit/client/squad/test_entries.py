"""Ids, answers and ``is_impossible`` in all the ways that tools write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from spanqa.squad import SquadFormatError, read_dataset, read_questions, score
from unit.client.squad.squad_files import QUESTION, Reader, both_readers, squad, written


@both_readers
@pytest.mark.parametrize(
    ("identifier", "read_as"),
    [
        (86, "86"),
        (0, "0"),
        (7.0, "7"),
        ("q 1", "q 1"),
        (..., "question-1"),
        (None, "question-1"),
        ("", "question-1"),
    ],
)
def test_ids(tmp_path: Path, read: Reader, identifier: object, read_as: str) -> None:
    (question,) = read(written(tmp_path / "x.json", squad(id=identifier)))
    assert question.id == read_as


@both_readers
@pytest.mark.parametrize("said", [..., None, True, 1, 1.0, "True", "true", "1", "yes"])
def test_a_question_may_have_no_answer(tmp_path: Path, read: Reader, said: object) -> None:
    document = squad(answers=[], is_impossible=said, plausible_answers=[1])
    (question,) = read(written(tmp_path / "dev.json", document))
    assert question.answers == ()
    assert score(question, "") == (1, 1)


@both_readers
@pytest.mark.parametrize("said", [False, 0, 0.0, "False", "false", "0", "no", "", None, ...])
def test_a_question_with_answers_is_not_impossible(
    tmp_path: Path, read: Reader, said: object
) -> None:
    (question,) = read(written(tmp_path / "dev.json", squad(is_impossible=said)))
    assert question.answers == ("Ada",)
    assert question.labelled


@both_readers
@pytest.mark.parametrize("said", [True, 1, "True"])
@pytest.mark.parametrize(
    "answers",
    [
        [{"text": "Ada", "answer_start": 4}],
        {"text": ["Ada"], "answer_start": [4]},
        [{"text": "", "answer_start": -1}],
        [{"text": "", "answer_start": 0}],
        ...,
        None,
    ],
)
def test_is_impossible_counts_more_than_answers(
    tmp_path: Path, read: Reader, said: object, answers: object
) -> None:
    path = written(tmp_path / "x.json", squad(answers=answers, is_impossible=said))
    (question,) = read(path)
    assert (question.answers, question.is_impossible, question.labelled) == ((), True, True)
    noticed = any("is_impossible is true" in notice for notice in read_dataset([path]).notices)
    assert noticed == ("Ada" in str(answers))


@both_readers
@pytest.mark.parametrize(
    "answers",
    [
        [],
        {"text": [], "answer_start": []},
        [{"text": "", "answer_start": -1}],
        {"text": "", "answer_start": -1},
    ],
)
def test_empty_answers_are_no_answer(tmp_path: Path, read: Reader, answers: object) -> None:
    document = squad()
    paragraph = document["data"][0]["paragraphs"][0]
    paragraph["qas"].append({"id": "2", "question": "Who?", "answers": answers})
    first, second = read(written(tmp_path / "x.json", document))
    assert (first.answers, second.answers, second.labelled) == (("Ada",), (), True)


@both_readers
@pytest.mark.parametrize(
    "answers", ["Ada", ["Ada"], {"text": "Ada", "answer_start": 4}, [{"text": "Ada"}]]
)
def test_answers_in_other_shapes(tmp_path: Path, read: Reader, answers: object) -> None:
    (question,) = read(written(tmp_path / "x.json", squad(answers=..., answer=answers)))
    assert question.answers == ("Ada",)


@pytest.mark.parametrize(
    "changes",
    [
        {"answers": ...},
        {"answers": None},
        {"answers": ..., "is_impossible": False},
        {"answers": [], "is_impossible": False},
        {"answers": []},
    ],
)
def test_files_without_labels_can_be_asked(tmp_path: Path, changes: dict[str, object]) -> None:
    (question,) = read_questions(written(tmp_path / "x.json", squad(**changes)))
    assert (question.answers, question.labelled) == ((), False)


@both_readers
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "holds no questions; give a SQuAD"),
        ({}, "data is missing; give a SQuAD"),
        ({"data": {}}, "data is not a list; give a SQuAD"),
        ({"data": []}, "holds no questions; give a SQuAD"),
        ({"data": [7]}, "data[0].paragraphs is missing"),
        ({"data": [{"paragraphs": [{"context": None}]}]}, "[0].context is not a string"),
        (squad(id=[7]), f"{QUESTION}id is neither a string nor a number"),
        (squad(id=True), f"{QUESTION}id is neither a string nor a number"),
        (squad(question=3), f"{QUESTION}question is not a string"),
        (squad(question=...), f"{QUESTION}question is missing"),
        (squad(answers="17"), f"{QUESTION}answers is not a list"),
        (squad(answers=[{"txt": "Ada"}]), f"{QUESTION}answers[0].text is missing"),
        (squad(answers=[3]), f"{QUESTION}answers is not a string"),
        (squad(is_impossible="maybe"), f"{QUESTION}is_impossible is not true or false"),
        (squad(is_impossible=2), f"{QUESTION}is_impossible is not true or false"),
        (squad(is_impossible=[]), f"{QUESTION}is_impossible is not true or false"),
    ],
)
def test_other_json_is_refused_with_the_place(
    tmp_path: Path, read: Reader, document: object, message: str
) -> None:
    path = written(tmp_path / "x.json", document)
    with pytest.raises(SquadFormatError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
