"""The questions of a run; tests/unit/client/test_squad.py has what the reader of files accepts."""

from pathlib import Path

import pytest

from spanqa_model.errors import DataError
from spanqa_model.finetune.data import evaluation_questions, training_questions
from unit.model.finetune.squad import document, write

READERS = (training_questions, evaluation_questions)


@pytest.mark.parametrize(("limit", "ids"), [(1, "0"), (3, "036"), (9, "012345678"), (10, None)])
def test_a_limit_takes_questions_from_all_over_the_file(
    tmp_path: Path, limit: int, ids: str | None
) -> None:
    file = write(tmp_path / "train", document(9))
    expected = [f"q{number}" for number in ids or "012345678"]
    for read in READERS:
        assert [question.id for question in read(file, limit)] == expected


def test_training_needs_positions_and_evaluation_unique_ids(tmp_path: Path) -> None:
    content = document(2)
    content["data"] *= 2
    file = write(tmp_path / "twice", content)
    assert [question.id for question in training_questions(file)] == ["q0", "q1"] * 2
    with pytest.raises(DataError, match="twice: holds the id 'q0' more than once"):
        evaluation_questions(file)
    content = document(2)
    del content["data"][0]["paragraphs"][1]["qas"][0]["answers"][0]["answer_start"]
    file = write(tmp_path / "nowhere", content)
    assert len(evaluation_questions(file)) == 2
    with pytest.raises(DataError, match=r"nowhere: .*\[1\].*answer_start is missing"):
        training_questions(file)


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_and_a_directory(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(DataError, match="no-such-file: No such file"):
        read(tmp_path / "no-such-file")
    with pytest.raises(DataError, match="Is a directory"):
        read(tmp_path)
