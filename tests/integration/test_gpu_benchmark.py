"""The GPU benchmark, in small on a CPU: what it writes, not how fast anything is."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from benchmarks import ROOT
from benchmarks.gpu.bench import usable


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu.run", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("gpu") / "gpu.json"
    small = ("--device", "cpu", "--small", "--minutes", "8", "--only", "model")
    # No data: made-up windows, as on a GPU host that has nothing but torch.
    done = run(*small, "--data", "none", "--json", str(file))
    assert done.returncode == 0, done.stderr
    written: dict[str, Any] = json.loads(file.read_text())
    return written


def test_what_it_writes(report: dict[str, Any]) -> None:
    machine, sections = report["machine"], report["sections"]
    assert machine["torch"]
    assert (machine["device"], machine["windows"]) == ("cpu", "made up, SQuAD's lengths")
    rows = {name: section["rows"] for name, section in sections.items()}
    assert {section["status"] for section in sections.values()} == {"done"}, sections
    assert len(rows["padding"]) == 3
    for row in rows["padding"]:
        assert row["windows_per_second"] > 0
        assert row["max_difference"] < 1e-5, "padded contenders compute what the packed one does"
    assert [row["dtype"] for row in rows["precision"]] == ["float32", "bfloat16"]
    assert [row["windows"] for row in rows["batch sizes"]] == [1, 2, 4]
    attention = {row["attention"]: row for row in rows["attention"]}
    assert list(attention) == ["grouped", "windowed", "flash", "efficient"]
    for name in ("flash", "efficient"):
        assert "CPU" in attention[name]["failed"], "what cannot run here says why"
    for row in attention.values():
        assert "failed" in row or row["max_difference"] < 1e-5


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_what_to_do() -> None:
    with pytest.raises(Exception, match=r"sees no CUDA GPU: install .* --device cpu --small"):
        usable("cuda")


def test_bad_arguments_are_named() -> None:
    for arguments, told in (
        (("--minutes", "0"), "--minutes 0: must be at least 1"),
        (("--device", "tpu"), "--device tpu: must be cuda"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert told in done.stderr
