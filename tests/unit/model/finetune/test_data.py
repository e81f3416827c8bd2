"""The questions of a run; tests/unit/client/squad has what the reader of files accepts."""

import hashlib
import json
from pathlib import Path

import pytest

from spanqa_model.errors import DataError
from spanqa_model.finetune.data import evaluation_data, sha256_of_all, training_data
from unit.model.finetune.squad import document, write

READERS = (training_data, evaluation_data)


@pytest.mark.parametrize(("limit", "ids"), [(1, "0"), (3, "036"), (9, "012345678"), (10, None)])
def test_a_limit_takes_questions_from_all_over_the_file(
    tmp_path: Path, limit: int, ids: str | None
) -> None:
    file = write(tmp_path / "train", document(9))
    expected = [f"q{number}" for number in ids or "012345678"]
    for read in READERS:
        assert [question.id for question in read([file], limit).questions] == expected


def test_training_needs_positions_and_evaluation_unique_ids(tmp_path: Path) -> None:
    content = document(2)
    content["data"] *= 2
    file = write(tmp_path / "twice", content)
    assert [question.id for question in training_data([file]).questions] == ["q0", "q1"] * 2
    with pytest.raises(DataError, match="twice: holds the id 'q0' more than once"):
        evaluation_data([file])
    content = document(2)
    paragraph = content["data"][0]["paragraphs"][1]
    answer = paragraph["qas"][0]["answers"][0]
    del answer["answer_start"]
    paragraph["context"] += f" {answer['text']}"  # twice, so it could be either
    file = write(tmp_path / "nowhere", content)
    assert len(evaluation_data([file]).questions) == 2
    with pytest.raises(DataError, match=r"nowhere: .*\[1\].*answer_start is missing"):
        training_data([file])


def test_bad_questions_are_left_out_if_asked_for(tmp_path: Path) -> None:
    content = document(4)
    for paragraph in content["data"][0]["paragraphs"][:3]:
        paragraph["qas"][0]["answers"][0]["text"] = "not there"
    file = write(tmp_path / "train", content)
    with pytest.raises(DataError, match=r"3 of 4 questions cannot be trained on.*--skip-bad"):
        training_data([file])
    dataset = training_data([file], skip_bad=True)
    assert [question.id for question in dataset.questions] == ["q3"]
    assert dataset.notices[0].startswith("3 of 4 questions were skipped: ")


def test_several_files_and_rows(tmp_path: Path) -> None:
    row = {"id": 7, "question": "Who?", "context": "Ada did.", "answers": {"text": ["Ada"]}}
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(row) + "\n" + json.dumps(row | {"id": 8}) + "\n")
    squad = write(tmp_path / "squad", document(2))
    for read in READERS:
        assert [one.id for one in read([squad, rows]).questions] == ["q0", "q1", "7", "8"]
    own = hashlib.sha256(rows.read_bytes()).hexdigest()
    assert sha256_of_all([rows]) == own
    assert len({own, sha256_of_all([rows, squad]), sha256_of_all([squad, rows])}) == 3


def test_evaluation_needs_labels(tmp_path: Path) -> None:
    content = document(2)
    for paragraph in content["data"][0]["paragraphs"]:
        del paragraph["qas"][0]["answers"]
    file = write(tmp_path / "test", content)
    with pytest.raises(DataError, match="test: holds no answers to score by"):
        evaluation_data([file])


@pytest.mark.parametrize("read", READERS)
def test_a_missing_file_and_a_directory(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(DataError, match="no-such-file: No such file"):
        read([tmp_path / "no-such-file"])
    with pytest.raises(DataError, match="Is a directory"):
        read([tmp_path])
