"""Files as the tools of the field write them, each made by hand after its format."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from spanqa.squad import Question, SquadFormatError, read_dataset, read_training_questions
from unit.client.squad.squad_files import Reader, both_readers, written

CONTEXT = 'Ada, so "they" say, wrote it in 1843.\nThen she rested.'
HF_ANSWERS = {"text": ["Ada", "1843"], "answer_start": [0, 32]}
ROW: dict[str, Any] = {
    "id": "5733be",
    "title": "Ada",
    "context": CONTEXT,
    "question": "Who?",
    "answers": HF_ANSWERS,
}
SPANS = [{"text": "Ada", "answer_start": 0}, {"text": "1843", "answer_start": 32}]
QAS = [{"id": "5733be", "question": "Who?", "answers": SPANS}]
PARAGRAPH = {"context": CONTEXT, "qas": QAS}


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def csv_of(header: str, *cells: str, delimiter: str = ",") -> str:
    quoted = delimiter.join('"' + cell.replace('"', '""') + '"' for cell in cells)
    return f"{header}\r\n{quoted}\r\n"


HEADER = "id,title,context,question,answers"
CELLS = ("5733be", "Ada", CONTEXT, "Who?")
MRQA = [
    {"header": {"dataset": "SQuAD", "split": "train"}},
    {
        "id": "",
        "context": CONTEXT,
        "context_tokens": [["Ada", 0]],
        "qas": [
            {
                "qid": "5733be",
                "question": "Who?",
                "question_tokens": [["Who", 0]],
                "answers": ["Ada", "1843"],
                "detected_answers": [
                    {"text": "Ada", "char_spans": [[0, 2]], "token_spans": [[0, 0]]}
                ],
            }
        ],
    },
]
FORMATS: dict[str, object] = {
    "SQuAD v1.1": {"version": "1.1", "data": [{"title": "Ada", "paragraphs": [PARAGRAPH]}]},
    "a list of articles": [{"title": "Ada", "paragraphs": [PARAGRAPH]}],
    "a list of paragraphs": [PARAGRAPH],
    "one paragraph": PARAGRAPH,
    "data of paragraphs": {"data": [PARAGRAPH]},
    "rows": [ROW],
    "data of rows": {"version": "0.1.0", "data": [ROW]},
    "rows with answers as in SQuAD": [ROW | {"answers": SPANS}],
    "JSON lines of rows": lines(ROW),
    "JSON lines with blank lines": "\n" + lines(ROW) + "\n\n",
    "JSON lines of paragraphs": lines(PARAGRAPH),
    "JSON lines of articles": lines({"title": "Ada", "paragraphs": [PARAGRAPH]}),
    "columns": {key: [value] for key, value in ROW.items()},
    "columns of pandas": {key: {"0": value} for key, value in ROW.items()},
    "the viewer of Hugging Face": {
        "features": [],
        "rows": [{"row_idx": 0, "row": ROW, "truncated_cells": []}],
    },
    "MRQA": lines(*MRQA),
    "CMRC 2018": [
        {
            "context_id": "DEV_0",
            "context_text": CONTEXT,
            "title": "Ada",
            "qas": [{"query_id": "5733be", "query_text": "Who?", "answers": ["Ada", "1843"]}],
        }
    ],
    "SOQAL": {
        "data": [{"title": "Ada", "paragraphs": [{"context": CONTEXT, "qas": QAS}]}],
        "version": "1.1",
    },
    "cdQA": {
        "version": "v1.1",
        "data": [
            {
                "title": "Ada",
                "paragraphs": [
                    {"context": "Not annotated.", "qas": []},
                    {"context": CONTEXT, "qas": [{"question": "Who?", "answers": SPANS}]},
                ],
            }
        ],
    },
    "DRCD": {
        "version": "1.3",
        "data": [
            {
                "title": "Ada",
                "id": "1147",
                "paragraphs": [
                    {
                        "context": CONTEXT,
                        "id": "1147-5",
                        "qas": [
                            {
                                "id": "5733be",
                                "question": "Who?",
                                "answers": [
                                    {"id": "1", "text": "Ada", "answer_start": 0},
                                    {"id": "2", "text": "1843", "answer_start": 32},
                                ],
                            }
                        ],
                    }
                ],
            }
        ],
    },
    "deepset": {
        "data": [
            {
                "paragraphs": [
                    {
                        "qas": [
                            {
                                "question": "Who?",
                                "id": "5733be",
                                "answers": [
                                    {
                                        "answer_id": 107 + number,
                                        "document_id": 9,
                                        "question_id": 86,
                                        "answer_end": 3,
                                        "answer_category": None,
                                        **span,
                                    }
                                    for number, span in enumerate(SPANS)
                                ],
                                "is_impossible": False,
                            }
                        ],
                        "context": CONTEXT,
                        "document_id": 9,
                    }
                ]
            }
        ]
    },
    "CSV with JSON": csv_of(HEADER, *CELLS, json.dumps(HF_ANSWERS)),
    "CSV with Python": csv_of(HEADER, *CELLS, str(HF_ANSWERS)),
    "CSV with numpy": csv_of(
        HEADER,
        *CELLS,
        "{'text': array(['Ada', '1843'],\n dtype=object), 'answer_start': array([ 0, 32])}",
    ),
    "CSV of flattened columns": csv_of(
        "id,context,question,answers.text,answers.answer_start",
        *("5733be", CONTEXT, "Who?", "['Ada', '1843']", "[0, 32]"),
    ),
    "CSV with semicolons": csv_of(HEADER.replace(",", ";"), *CELLS, str(HF_ANSWERS), delimiter=";"),
    "CSV of pandas with an index, all in quotation marks": csv_of(
        '"","id","title","context","question","answers"', "0", *CELLS, str(HF_ANSWERS)
    ),
    "TSV": csv_of(HEADER.replace(",", "\t"), *CELLS, str(HF_ANSWERS), delimiter="\t"),
}


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
