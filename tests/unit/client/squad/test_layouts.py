"""Files as the tools of the field write them, each made by hand after its format."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from spanqa.squad import Question, SquadFormatError, read_dataset, read_training_questions
from unit.client.squad.formats import CONTEXT, FORMATS, HF_ANSWERS, MRQA, ROW, SPANS, csv_of, lines
from unit.client.squad.squad_files import Reader, both_readers, written


@both_readers
@pytest.mark.parametrize("name", FORMATS)
def test_a_format(tmp_path: Path, read: Reader, name: str) -> None:
    (question,) = read(written(tmp_path / "file", FORMATS[name]))
    assert question == Question(
        "question-1" if name == "cdQA" else "5733be",
        "Who?",
        CONTEXT,
        ("Ada", "1843"),
        0 if read is read_training_questions else None,
        is_impossible=False if name == "deepset" else None,
    )


@both_readers
@pytest.mark.parametrize("answers", [HF_ANSWERS, SPANS])
def test_parquet(tmp_path: Path, read: Reader, answers: object) -> None:
    path = tmp_path / "validation"
    parquet.write_table(pyarrow.Table.from_pylist([ROW | {"answers": answers}]), path)
    (question,) = read(path)
    assert (question.id, question.answers) == ("5733be", ("Ada", "1843"))


@both_readers
@pytest.mark.parametrize(
    ("header", "cells", "answers"),
    [
        ("question,context,answer,answer_start", ("Who?", CONTEXT, "Ada", "0"), ("Ada",)),
        ("question,context,answer_text,answer_start", ("Who?", CONTEXT, "1843", "32"), ("1843",)),
        ("question,context,answers", ("Who?", CONTEXT, "1843"), ("1843",)),
        ("question,context,answer", ("Who?", "He [sic] did.", "[sic]"), ("[sic]",)),
        ("question,context,answer,is_impossible", ("Who?", CONTEXT, "", "True"), ()),
    ],
)
def test_tables_with_an_answer_in_plain_text(
    tmp_path: Path, read: Reader, header: str, cells: tuple[str, ...], answers: tuple[str, ...]
) -> None:
    (question,) = read(written(tmp_path / "x.csv", csv_of(header, *cells)))
    assert question.answers == answers
    assert question.labelled


def test_long_cells_and_many_rows(tmp_path: Path) -> None:
    long = "Ada " * 100_000
    text = "context,question\n" + "".join(f'"{long}",q{number}\n' for number in range(3))
    questions = read_dataset([written(tmp_path / "x.csv", text)]).questions
    assert [question.question for question in questions] == ["q0", "q1", "q2"]
    assert {len(question.context) for question in questions} == {len(long)}


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    rows = [ROW | {"id": str(number), "question": "a\u2028b\x85c"} for number in range(2)]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    questions = read_dataset([written(tmp_path / "x.jsonl", text)]).questions
    assert [question.question for question in questions] == ["a\u2028b\x85c"] * 2


@both_readers
@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([7], "[0].question is missing"),
        ([{"context": "c"}], "[0].question is missing"),
        ([{"question": "q"}], "[0].context is missing"),
        ({"data": [{"question": "q"}]}, "data[0].context is missing"),
        ({"data": [{"paragraphs": [{"context": "c"}]}]}, "paragraphs[0].qas is missing"),
        ({"data": [{"paragraphs": [{"qas": []}]}]}, "paragraphs[0].context is missing"),
        ({"question": ["q"], "context": ["c", "d"]}, "differ in length (question 1, context 2)"),
        (lines(ROW) + "{", "line 2 is not JSON"),
        (lines(ROW, {"question": "q"}), "line 2: context is missing"),
        (lines(*MRQA[:1], *MRQA[:1]), "holds no questions"),
        ("question,context\nWho?,a,b\n", "row 1 has 3 cells, but the first line names 2 columns"),
        ("question,text\nWho?,a\n", "is not JSON"),
        ("question,context\n", "holds no questions"),
        (b"PAR1 and no more", "is not readable as Parquet"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, read: Reader, document: object, message: str
) -> None:
    path = written(tmp_path / "x", document)
    with pytest.raises(SquadFormatError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_parquet_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = written(tmp_path / "x.parquet", b"PAR1")
    with pytest.raises(SquadFormatError, match=r"pip install 'spanqa\[parquet\]'"):
        read_dataset([path])
