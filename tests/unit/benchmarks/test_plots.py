"""Pictures from small figures."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import RESULTS
from benchmarks.common.report import SPANQA
from benchmarks.plots import COMPARISONS, CONTENDERS, PROCESSES, draw

MACHINE = {"cpu": "AMD EPYC", "cores": 2, "python": "3.11.7"}


def row(contender: str, callers: int) -> dict[str, Any]:
    figures = {"questions_per_second": 10.0 * callers, "p50_seconds": 0.1, "p99_seconds": 0.2}
    stages = {"tokenize": 0.001, "infer": 0.02}
    return {"contender": contender, "concurrency": callers, "stage_seconds": stages, **figures}


def write(directory: Path, name: str, **figures: Any) -> None:
    (directory / f"{name}.json").write_text(json.dumps({"machine": MACHINE, **figures}))


def test_pictures_are_drawn_from_the_json_alone_and_the_same_each_time(tmp_path: Path) -> None:
    for dtype, name in zip(("float32", "bfloat16"), COMPARISONS, strict=True):
        rows = [row(SPANQA, 1), row(SPANQA, 41), row("MLServer, float32", 1)]
        write(tmp_path, name, arguments={"shape": "embedded", "dtype": dtype}, rows=rows)
    write(tmp_path, "frontend", stage_seconds={"tokenize": 0.0003})
    first = [path.read_bytes() for path in draw(tmp_path, tmp_path / "a")]
    again = [path.read_bytes() for path in draw(tmp_path, tmp_path / "b")]
    assert len(first) == 2
    assert first == again
    assert b"MLServer" in first[0]
    assert b">41<" in first[0]
    assert all(b"2 cores of an AMD EPYC" in picture for picture in first)


def test_the_committed_figures_are_of_contenders_and_processes_that_have_a_colour() -> None:
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    for name in COMPARISONS:
        measured = {one["contender"] for one in results[name]["rows"]}
        assert measured >= CONTENDERS.keys() - {"transformers pipeline, bfloat16"}
    for name in ("soak", "overload", "overload-bert-large"):
        measured = results[name]["curves"].keys()
        # The soak was measured before there was a guard.
        assert PROCESSES.keys() - {"guard"} <= measured <= PROCESSES.keys()


def test_no_figures_no_pictures(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="make bench"):
        draw(tmp_path, tmp_path)
