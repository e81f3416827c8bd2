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


def rows(report: dict[str, Any], section: str) -> list[dict[str, Any]]:
    result = report["sections"][section]
    assert result["status"] == "done", result
    found: list[dict[str, Any]] = result["rows"]
    return found


def test_the_machine_and_the_windows_are_named(report: dict[str, Any]) -> None:
    assert report["machine"]["device"] == "cpu"
    assert report["machine"]["windows"] == "made up, SQuAD's lengths"
    assert report["machine"]["torch"]


def test_padded_contenders_compute_what_the_packed_one_does(report: dict[str, Any]) -> None:
    found = rows(report, "padding")
    assert len(found) == 3
    for row in found:
        assert row["windows_per_second"] > 0
        assert row["max_difference"] < 1e-5


def test_each_dtype_and_batch_size_has_a_row(report: dict[str, Any]) -> None:
    assert [row["dtype"] for row in rows(report, "precision")] == ["float32", "bfloat16"]
    assert [row["windows"] for row in rows(report, "batch sizes")] == [1, 2, 4]


def test_attention_that_cannot_run_here_says_why(report: dict[str, Any]) -> None:
    found = {row["attention"]: row for row in rows(report, "attention")}
    assert list(found) == ["grouped", "windowed", "flash", "efficient"]
    for name in ("flash", "efficient"):
        assert "CPU" in found[name]["failed"]
    for row in found.values():
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
