"""Reading SQuAD files, and saying where one is wrong."""

import copy
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from spanqa_model.errors import DataError
from spanqa_model.finetune.data import evaluation_questions, training_questions
from unit.model.finetune.squad import document, write

QUESTION = "data[0].paragraphs[1].qas[0]."


@pytest.mark.parametrize("suffix", ["json", "json.xz", "json.gz"])
def test_a_file_is_read_packed_or_not(tmp_path: Path, suffix: str) -> None:
    content = json.dumps(document(3)).encode()
    packed = {
        "json": content,
        "json.xz": lzma.compress(content),
        "json.gz": gzip.compress(content, mtime=0),
    }
    file = tmp_path / f"train.{suffix}"
    file.write_bytes(packed[suffix])
    questions = training_questions(file)
    assert [question.id for question in questions] == ["q0", "q1", "q2"]
    for question in questions:
        assert question.answer_start is not None
        (answer,) = question.answers
        assert question.context[question.answer_start :].startswith(answer)


def test_questions_of_squad_2_without_an_answer(tmp_path: Path) -> None:
    questions = training_questions(write(tmp_path / "v2", document(4, unanswerable_every=2)))
    assert [question.answerable for question in questions] == [False, True, False, True]


@pytest.mark.parametrize(("limit", "ids"), [(1, "0"), (3, "036"), (9, "012345678"), (10, None)])
def test_a_limit_takes_questions_from_all_over_the_file(
    tmp_path: Path, limit: int, ids: str | None
) -> None:
    file = write(tmp_path / "train", document(9))
    expected = [f"q{number}" for number in ids or "012345678"]
    for read in (training_questions, evaluation_questions):
        assert [question.id for question in read(file, limit)] == expected


def change(content: dict[str, Any], path: list[str | int], value: object) -> None:
    *outer, last = path
    inner: Any = content
    for step in outer:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value


INNER: list[str | int] = ["data", 0, "paragraphs", 1, "qas", 0]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["data"], ..., "data is missing: not SQuAD"),
        (["data"], {}, "data is not a list"),
        (["data", 0], 7, "data[0].paragraphs is missing"),
        (["data", 0, "paragraphs", 1, "context"], None, "paragraphs[1].context is not a string"),
        ([*INNER, "question"], 3, f"{QUESTION}question is not a string"),
        ([*INNER, "id"], ..., f"{QUESTION}id is missing"),
        ([*INNER, "answers"], "17", f"{QUESTION}answers is not a list"),
        ([*INNER, "answers", 0, "text"], ..., f"{QUESTION}answers[0].text is missing"),
        ([*INNER, "answers", 0, "text"], "?", f"{QUESTION}answers[0]: the context has"),
        ([*INNER, "answers", 0, "text"], " ", f"{QUESTION}answers[0].text is blank"),
        ([*INNER, "answers", 0, "answer_start"], 999, f"{QUESTION}answers[0]: the context has ''"),
        ([*INNER, "answers", 0, "answer_start"], -2, f"{QUESTION}answers[0]: the context has ''"),
        ([*INNER, "answers", 0, "answer_start"], True, "answer_start is not an integer"),
        ([*INNER, "answers", 0, "answer_start"], ..., "answers[0].answer_start is missing"),
        ([*INNER, "is_impossible"], True, "answers is not empty, but is_impossible is true"),
        ([*INNER, "is_impossible"], "no", "is_impossible is not true or false"),
        (["data", 0, "paragraphs"], [], "holds no questions"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, path: list[str | int], value: object, message: str
) -> None:
    content = copy.deepcopy(document(3))
    change(content, path, value)
    file = write(tmp_path / "train.json", content)
    with pytest.raises(DataError) as caught:
        training_questions(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train.json", b"{", "not JSON"),
        ("train.json", b"\xff", "not JSON"),
        ("train.json", b"[" * 100_000, "not JSON"),
        ("train.json.xz", b"{}", "cannot be decompressed"),
        ("train.json.gz", b"{}", "cannot be decompressed"),
        ("train.json.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], "cannot be decompressed"),
        ("train.json", b"[]", "data is missing"),
    ],
)
def test_files_that_are_something_else(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        training_questions(tmp_path / name)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no-such-file: No such file"):
        training_questions(tmp_path / "no-such-file")
    with pytest.raises(DataError, match="Is a directory"):
        training_questions(tmp_path)


def test_evaluation_needs_unique_ids_but_no_positions(tmp_path: Path) -> None:
    content = document(2)
    for paragraph in content["data"][0]["paragraphs"]:
        del paragraph["qas"][0]["answers"][0]["answer_start"]
    assert len(evaluation_questions(write(tmp_path / "dev", content))) == 2
    content["data"] *= 2
    with pytest.raises(DataError, match="holds the id 'q0' more than once"):
        evaluation_questions(write(tmp_path / "dev", content))
