"""Parquet in and out: types stay, and nothing is read as a whole."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from spanqa._bulk.formats import Csv, JsonLines
from spanqa._bulk.rows import Columns, Row
from spanqa._bulk.sources import read_rows

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from spanqa._bulk.parquet import write_parquet  # noqa: E402

COUNT = 700  # several batches, and row groups that do not end where batches do
DAY = datetime.date(2024, 2, 29)


def questions() -> Any:
    return pa.table(
        {
            "id": pa.array(range(COUNT), pa.int16()),
            "question": ["Who?"] * COUNT,
            "context": [f"Ada{n} did." for n in range(COUNT - 1)] + [None],
            "day": pa.array([DAY] * COUNT, pa.date32()),
            "raw": pa.array([b"\xff"] * COUNT, pa.binary()),
            "answers": [{"text": ["Ada"], "answer_start": [0]}] * COUNT,
        }
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "questions.parquet"
    pq.write_table(questions(), path, row_group_size=300)
    return path


def spool(path: Path, columns: Columns, rows: list[Row]) -> Path:
    def result(row: Row) -> dict[str, Any]:
        more = [{"answer": "did", "start": 5, "end": 8, "score": 1.5, "probability": 0.25}]
        answered = {"answer": row.context[:3], "start": 0, "more_answers": more}
        return {"error_code": "INTERNAL", "error": "x"} if row.problem else answered

    path.write_bytes(
        b"".join(JsonLines().encode(columns.answered(row, result(row))) for row in rows)
    )
    return path


def test_rows_of_parquet(source: Path) -> None:
    rows = list(read_rows(str(source), "parquet", Columns()))
    assert [row.number for row in rows] == list(range(COUNT))
    assert rows[600].context == "Ada600 did."
    assert rows[-1].problem == "context is missing, not a string"
    assert rows[0].carried["day"] == DAY
    assert json.loads(JsonLines().encode(rows[0].carried)) == {
        "id": 0,
        "question": "Who?",
        "day": "2024-02-29",
        "raw": "/w==",
        "answers": {"text": ["Ada"], "answer_start": [0]},
    }
    cells = Csv(["day", "raw", "id", "answers"], ",").encode(rows[0].carried)
    assert cells == b'2024-02-29,/w==,0,"{""text"": [""Ada""], ""answer_start"": [0]}"\r\n'


def test_parquet_keeps_its_columns_as_they_are(source: Path, tmp_path: Path) -> None:
    columns = Columns(prefix="our_", more_answers=True)
    rows = list(read_rows(str(source), "parquet", columns))
    made = tmp_path / "answers.parquet"
    write_parquet(spool(tmp_path / "spool", columns, rows), made, columns, source)
    table = pq.read_table(made)
    kept = questions().drop_columns(["context"])
    assert table.select(kept.column_names).equals(kept)
    assert table.column_names[len(kept.column_names) :] == list(columns.added)
    assert table["our_answer"].to_pylist() == ["Ada"] * (COUNT - 1) + [None]
    assert table["our_error_code"].to_pylist()[-2:] == [None, "INTERNAL"]
    assert table["our_more_answers"][0].as_py()[0]["probability"] == 0.25
    assert table.schema.field("our_start").type == pa.int64()


def test_columns_of_json_get_a_type(tmp_path: Path) -> None:
    columns = Columns()
    values: list[dict[str, Any]] = [
        {"int": 1, "float": 1, "bool": True, "text": "a", "mixed": 1, "list": [1], "huge": 2**70},
        {"int": None, "float": 0.5, "bool": None, "text": None, "mixed": "1", "late": 5},
    ]
    rows = [Row(n, carried, "Who?", "Ada") for n, carried in enumerate(values)]
    made = tmp_path / "answers.parquet"
    write_parquet(spool(tmp_path / "spool", columns, rows), made, columns, None)
    table = pq.read_table(made).select([*values[0], "late"])
    assert table.to_pylist() == [
        {
            **{"int": 1, "float": 1.0, "bool": True, "text": "a", "mixed": "1", "list": "[1]"},
            **{"huge": str(2**70), "late": None},
        },
        {
            **{"int": None, "float": 0.5, "bool": None, "text": None, "mixed": "1", "list": None},
            **{"huge": None, "late": 5},
        },
    ]


def test_no_rows_are_a_file_with_columns(tmp_path: Path) -> None:
    made = tmp_path / "answers.parquet"
    write_parquet(spool(tmp_path / "spool", Columns(), []), made, Columns(), None)
    table = pq.read_table(made)
    assert (table.num_rows, table.column_names) == (0, list(Columns().added))
