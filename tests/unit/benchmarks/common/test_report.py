"""Rows, their table and the JSON of a comparison."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.common.report import (
    SPANQA,
    Measured,
    Row,
    reference_beside,
    summary,
    table,
    write_result,
)

STAGES = {"tokenize": 0.001, "queue": 0.0, "infer": 0.02, "decode": 0.001, "rest": 0.002}


def measured(wall: float, stages: bool = True) -> Measured:
    return Measured(4, 6, wall, 2.0, [0.1, 0.2, 0.3, 0.4], [STAGES] if stages else [])


@pytest.fixture
def rows() -> list[Row]:
    keys = [(SPANQA, 1), (SPANQA, 4), ("MLServer, float32", 1), ("MLServer, float32", 4)]
    made = [summary(*key, [measured(at + 1.0)], 6) for at, key in enumerate(keys)]
    return [*made, summary("transformers pipeline, float32", 1, [measured(8.0, stages=False)], 6)]


@pytest.fixture
def arguments(tmp_path: Path) -> argparse.Namespace:
    return argparse.Namespace(
        data=tmp_path / "dev.json", json=None, shape="embedded", dtype="float32", concurrency=[1, 4]
    )


def test_a_row_has_medians_of_the_rounds() -> None:
    row = summary(SPANQA, 4, [measured(1.0), measured(2.0), measured(8.0)], 6)
    assert (row.questions_per_second, row.windows_per_second) == (2.0, 3.0)
    assert (row.cpu_seconds_per_question, row.p50_seconds, row.p99_seconds) == (0.5, 0.3, 0.4)
    assert row.stage_seconds == pytest.approx(STAGES)


def test_services_are_compared_at_equal_callers_and_libraries_with_the_most(
    rows: list[Row],
) -> None:
    assert [reference_beside(row, rows).concurrency for row in rows] == [1, 4, 1, 4, 4]


def test_the_table_has_each_row_and_the_ratio(rows: list[Row]) -> None:
    console = Console(width=140, file=io.StringIO(), record=True)
    console.print(table("title", rows))
    text = console.export_text()
    assert text.count("MLServer, float32") == 2
    assert "4.00 times as fast" in text


def test_results_name_no_directory_of_the_machine(
    tmp_path: Path, arguments: argparse.Namespace
) -> None:
    write_result(tmp_path / "new" / "one.json", arguments, windows=3)
    text = (tmp_path / "new" / "one.json").read_text()
    assert str(tmp_path) not in text
    assert json.loads(text)["data"] == "dev.json"
