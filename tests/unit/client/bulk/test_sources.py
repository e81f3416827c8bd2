"""Rows out of files: every format, packed or not, and what is wrong with some of them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanqa._bulk.rows import BulkError, Columns, Row
from spanqa._bulk.sources import kind_of, read_rows

PLAIN = Columns()
ROWS = [
    {"id": "a", "question": "Who?", "context": "Ada did."},
    {"id": "b", "question": 'Who,\n"then"?', "context": "Bob did; Ädä 😀 did.\r\nSo."},
]
TEXTS = {
    "jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    "csv": "id,question,context\r\na,Who?,Ada did.\r\n"
    'b,"Who,\n""then""?","Bob did; Ädä 😀 did.\r\nSo."\r\n',
}


def read(path: Path, columns: Columns = PLAIN, kind: str = "") -> list[Row]:
    return list(read_rows(str(path), kind or kind_of(str(path), None, "--input-format"), columns))


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def as_dicts(rows: list[Row]) -> list[dict[str, str]]:
    return [{**row.carried, "question": row.question, "context": row.context} for row in rows]


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
def test_text_files_plain_and_packed(
    tmp_path: Path, kind: str, pack: Callable[[bytes], bytes], mark: bytes
) -> None:
    path = written(tmp_path / f"rows.{kind}", pack(mark + TEXTS[kind].encode()))
    assert as_dicts(read(path)) == ROWS
    assert [row.number for row in read(path)] == [0, 1]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_csv_with_other_delimiters(tmp_path: Path, delimiter: str) -> None:
    text = f"question{delimiter}context\nWho, then?{delimiter}Ada\n"
    [row] = read(written(tmp_path / "rows.csv", text))
    assert (row.question, row.context) == ("Who, then?", "Ada")


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(gzip.compress(TEXTS["jsonl"].encode())))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert as_dicts(read(Path("-"))) == ROWS


def test_chosen_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", '{"q": "Who?", "text": "Ada", "n": [1]}\n\n \n')
    [row] = read(path, Columns("q", "text"))
    assert (row.question, row.context, row.carried) == ("Who?", "Ada", {"q": "Who?", "n": [1]})
    [row] = read(path, Columns("q", "text", keep_context=True))
    assert row.carried == {"q": "Who?", "text": "Ada", "n": [1]}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "line 2 is not JSON (Expecting"),
        (b"[1]", "line 2 is not a JSON object"),
        (b"[" * 100_000, "line 2 is not JSON"),
        (b'{"question": "\xff"}', "line 2 is not UTF-8: convert"),
        (b'{"question": "Who?"}', "context is missing, not a string"),
        (b'{"question": 7, "context": "x"}', "question is a number, not a string"),
        (b'{"question": null, "context": "x"}', "question is missing"),
        (b'{"question": "Who?", "context": ["x"]}', "context is a list"),
    ],
)
def test_a_bad_line_is_a_row_with_a_problem(tmp_path: Path, line: bytes, problem: str) -> None:
    good = TEXTS["jsonl"].splitlines(keepends=True)[0].encode()
    path = written(tmp_path / "rows.jsonl", good + line + b"\n" + good)
    first, bad, last = read(path)
    assert problem in bad.problem
    assert (first.problem, last.problem, last.number) == ("", "", 2)


def test_bad_rows_of_csv(tmp_path: Path) -> None:
    text = b"id,question,context\n1,Who?\n2,Who?,Ada,Bob\n3,Wh\xff?,Ada\n4,Who?,Ada\n"
    rows = read(written(tmp_path / "rows.csv", text))
    assert [row.problem for row in rows] == [
        "line 2 has 2 cells, the header 3",
        "line 3 has 4 cells, the header 3",
        "line 4 is not UTF-8: convert the file, with iconv for instance",
        "",
    ]
    assert [row.carried["id"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[2].carried["question"] == "Wh\ufffd?"


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        (
            "x.csv",
            "id,q,text\n1,2,3\n",
            ["no column 'question', but 'id', 'q', 'text'", "--question-column"],
        ),
        ("x.csv", "question\nWho?\n", ["no column 'context'", "--context-column"]),
        ("x.csv", "question,context,x,x\n", ["'x' twice"]),
        ("x.csv", "", ["no column 'question', but none at all"]),
        ("x.csv", "question,context,answer\n", ["column 'answer'", "--prefix"]),
        ("x.jsonl", '{"data": []}\n', ["no column 'question', but 'data'"]),
        ("x.jsonl", "[\n", ["line 1", "one JSON object a line"]),
        ("x.jsonl", b"\xff\xfe{\0", ["line 1, is not UTF-8"]),
        ("x.jsonl", TEXTS["jsonl"] + '{"error": 1}', ["line 3", "column 'error'", "--prefix"]),
        ("x.jsonl", gzip.compress(TEXTS["jsonl"].encode())[:-9], ["cannot be unpacked", "damaged"]),
        ("x.jsonl", lzma.compress(b"{}")[:20], ["cannot be unpacked"]),
        ("x.parquet", "PAR1", ["is not Parquet"]),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, name: str, text: str | bytes, parts: list[str]
) -> None:
    path = written(tmp_path / name, text)
    with pytest.raises(BulkError) as raised:
        read(path)
    for part in parts:
        assert part in str(raised.value)


def test_a_quotation_mark_that_is_not_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanqa._bulk.sources._LONGEST_CELL", 1000)
    text = 'question,context\nWho?,"Ada\n' + "Who?,Ada\n" * 200
    with pytest.raises(BulkError, match=r"line 2.*quotation mark not closed"):
        read(written(tmp_path / "x.csv", text))


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    assert read(written(tmp_path / "x.jsonl", "\n")) == []
    assert read(written(tmp_path / "x.csv", "question,context\n")) == []


@pytest.mark.parametrize(
    ("path", "chosen", "kind"),
    [
        ("a.JSONL", None, "jsonl"),
        ("a.ndjson.gz", None, "jsonl"),
        ("a.b.tsv.xz", None, "tsv"),
        ("a.parquet", None, "parquet"),
        ("-", None, "jsonl"),
        ("-", "csv", "csv"),
        ("a.jsonl", "csv", "csv"),
    ],
)
def test_the_name_or_the_option_says_the_format(path: str, chosen: str | None, kind: str) -> None:
    assert kind_of(path, chosen, "--input-format") == kind


@pytest.mark.parametrize("path", ["rows", "rows.txt", "rows.json", "rows.gz", "jsonl"])
def test_names_that_say_nothing(path: str) -> None:
    with pytest.raises(BulkError, match="--output-format"):
        kind_of(path, None, "--output-format")


@given(st.binary(max_size=60), st.sampled_from(["csv", "tsv", "jsonl"]))
def test_any_bytes_are_rows(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "x"
    start = TEXTS["jsonl"] if kind == "jsonl" else "question\tcontext\n"
    path.write_bytes(start.encode() + data)
    rows = read(path, kind=kind)
    assert [row.number for row in rows] == list(range(len(rows)))
