"""Going on with a file that ends anywhere, and what keeps runs from spoiling each other's work."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa._bulk.formats import Csv, JsonLines, RowFormat
from spanqa._bulk.partial import PartialFile
from spanqa._bulk.rows import BulkError, Columns, Row

SETTINGS = {"--top-k": 1}
CELLS = st.text(alphabet='a",;\t\r\n 0€😀\x00\u2028', max_size=6)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | CELLS
NAMES = ("id", "question", "more")


@pytest.fixture(scope="module", autouse=True)
def _no_fsync() -> Iterator[None]:
    """Nobody pulls the plug here, and disks take their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


def formats(columns: Columns) -> dict[str, RowFormat]:
    names = [*NAMES, *columns.added]
    return {"jsonl": JsonLines(), "csv": Csv(names, ","), "tsv": Csv(names, "\t")}


def made_rows(values: Sequence[Sequence[Any]]) -> list[Row]:
    return [
        Row(number, dict(zip(NAMES, cells, strict=True)), "Who?", "Ada")
        for number, cells in enumerate(values)
    ]


def results(row: Row) -> dict[str, Any]:
    if row.number % 3 == 2:
        return {"error_code": "INTERNAL", "error": f'line\n"{row.number}"'}
    return {"answer": f'the "{row.number}",\r\n', "start": row.number, "score": 0.1}


def run(
    output: Path, kind: str, columns: Columns, rows: Sequence[Row], **options: Any
) -> tuple[list[int], PartialFile]:
    """Writes the rows that are missing; returns their numbers."""
    row_format = formats(columns)[kind]
    asked = []
    with closing(PartialFile(output, row_format, columns, SETTINGS, **options)) as partial:
        for row in sorted(
            rows, key=lambda row: row.number if not columns.numbered else -row.number
        ):
            if not partial.is_answered(row):
                asked.append(row.number)
                partial.write(row_format.encode(columns.answered(row, results(row))))
        partial.finish()
    return asked, partial


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv"])
@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.tuples(*[VALUES] * len(NAMES)), min_size=1, max_size=6), data=st.data())
def test_a_file_cut_anywhere_becomes_the_same_again(
    tmp_path_factory: pytest.TempPathFactory, kind: str, values: list[Any], data: st.DataObject
) -> None:
    columns, rows = Columns(), made_rows(values)
    output = tmp_path_factory.mktemp("cut") / "answers"
    asked, partial = run(output, kind, columns, rows)
    whole = output.read_bytes()
    assert asked == list(range(len(rows)))

    cut = data.draw(st.integers(0, len(whole)))
    settle(output, partial, whole[:cut])
    asked, _ = run(output, kind, columns, rows)
    assert output.read_bytes() == whole
    assert [path.name for path in output.parent.iterdir()] == ["answers"]
    row_format = formats(columns)[kind]
    written = whole[:cut].removeprefix(row_format.head)
    ends = [len(row_format.encode(columns.answered(row, results(row)))) for row in rows]
    complete = sum(sum(ends[: n + 1]) <= len(written) for n in range(len(rows)))
    if cut < len(row_format.head):
        complete = 0
    assert asked == list(range(complete, len(rows))), "what was whole is not asked again"


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.tuples(*[VALUES] * len(NAMES)), min_size=1, max_size=6), data=st.data())
def test_without_order_every_row_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, kind: str, values: list[Any], data: st.DataObject
) -> None:
    columns, rows = Columns(numbered=True), made_rows(values)
    output = tmp_path_factory.mktemp("cut") / "answers"
    _, partial = run(output, kind, columns, rows)
    whole = output.read_bytes()
    random.Random(len(whole)).shuffle(rows)
    settle(output, partial, whole[: data.draw(st.integers(0, len(whole)))])
    run(output, kind, columns, rows)
    row_format = formats(columns)[kind]
    assert sorted(records(row_format, output)) == sorted(
        [row_format.encode(columns.answered(row, results(row))) for row in rows]
    )


def settle(output: Path, partial: PartialFile, data: bytes) -> None:
    """As if the run had been killed when so much was written."""
    output.unlink()
    partial.path.write_bytes(data)
    partial.path.with_name(f"{partial.path.name}.json").write_text(json.dumps(SETTINGS))


def records(row_format: RowFormat, path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        found = row_format.records(file)
        if row_format.head:
            assert next(found) == row_format.head
        yield from found


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """With two of three rows in its partial file."""
    path = tmp_path / "answers.jsonl"
    with closing(begun(path)) as partial:
        for row in ROWS[:2]:
            partial.write(JsonLines().encode(Columns().answered(row, {"answer": "Ada"})))
    return path


ROWS = made_rows([("a", 1, 1), ("b", 2, 2), ("c", 3, 3)])


def begun(path: Path, settings: dict[str, Any] | None = None, **options: Any) -> PartialFile:
    return PartialFile(path, JsonLines(), Columns(), settings or SETTINGS, **options)


def test_what_was_written_is_counted_and_not_asked(output: Path) -> None:
    assert not output.exists()
    with closing(begun(output)) as partial:
        assert (partial.answered.count, partial.answered.failed) == (2, 0)
        assert [partial.is_answered(row) for row in ROWS] == [True, True, False]


def test_a_line_of_zeros_is_cut_off(output: Path) -> None:
    partial = output.with_name("answers.jsonl.partial")
    whole = partial.read_bytes()
    for garbage in (b"\0" * 50, b"\0" * 50 + b"\n", b"[]\n", b'{"answer": 1}\n', b"{\n{}\n"):
        partial.write_bytes(whole + garbage)
        with closing(begun(output)) as again:
            assert again.answered.count == 2
        assert partial.read_bytes() == whole


def test_other_questions_are_noticed(output: Path) -> None:
    with closing(begun(output)) as partial, pytest.raises(BulkError, match=r"row 2 .*--restart"):
        partial.is_answered(made_rows([("a", 1, 1), ("x", 2, 2)])[1])


def test_other_options_are_named(output: Path) -> None:
    with pytest.raises(BulkError, match=r"other options \(--prefix, --top-k\)"):
        begun(output, {"--top-k": 2, "--prefix": "x"})


@pytest.mark.parametrize("text", [None, "", "[]"])
def test_a_partial_file_of_somebody_else_is_left_alone(output: Path, text: str | None) -> None:
    settings = output.with_name("answers.jsonl.partial.json")
    settings.unlink() if text is None else settings.write_text(text)
    before = output.with_name("answers.jsonl.partial").read_bytes()
    with pytest.raises(BulkError, match="does not say how it was made"):
        begun(output)
    assert output.with_name("answers.jsonl.partial").read_bytes() == before


def test_restart_forgets(output: Path) -> None:
    with closing(begun(output, {"--top-k": 2}, restart=True)) as partial:
        assert partial.answered.count == 0
        assert not partial.is_answered(ROWS[0])


def test_finished_answers_are_not_replaced_unless_told(output: Path) -> None:
    run(output, "jsonl", Columns(), ROWS)
    whole = output.read_bytes()
    with pytest.raises(BulkError, match=r"exists: .*--restart"):
        begun(output)
    with closing(begun(output, restart=True)) as partial:
        partial.write(b"{}\n")
        assert output.read_bytes() == whole, "the old answers stay until there are new ones"
        partial.finish()
    assert output.read_bytes() == b"{}\n"


def test_two_runs_do_not_write_one_file(output: Path) -> None:
    with closing(begun(output)), pytest.raises(BulkError, match="another run is writing"):
        begun(output)


def test_a_run_that_wrote_nothing_leaves_nothing(tmp_path: Path) -> None:
    begun(tmp_path / "answers.jsonl").close()
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link = tmp_path / "link.jsonl"
    link.symlink_to(tmp_path / "answers.jsonl")
    run(link, "jsonl", Columns(), ROWS)
    assert link.is_symlink()
    assert len(link.read_bytes().splitlines()) == 3
