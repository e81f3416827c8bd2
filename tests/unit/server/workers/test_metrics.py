"""The metrics of several processes as those of one."""

import subprocess
import sys
from pathlib import Path

from prometheus_client import generate_latest

from spanqa_server.workers.metrics import WorkerMetrics

COUNT = """
import os
from prometheus_client import Counter
Counter("spanqa_things", "Things.").inc(2)
print(os.getpid())
"""


def run_worker(directory: Path) -> int:
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
    told = subprocess.run(
        [sys.executable, "-c", COUNT], env=environment, check=True, capture_output=True
    )
    return int(told.stdout)


def test_counts_of_the_dead_are_kept(tmp_path: Path) -> None:
    metrics = WorkerMetrics(str(tmp_path))
    metrics.forget(run_worker(tmp_path))
    run_worker(tmp_path)
    told = generate_latest(metrics.registry).decode()
    assert "spanqa_things_total 4.0" in told
    assert "spanqa_worker_ends_total 1.0" in told


def test_a_file_that_a_worker_has_just_made_is_left_out(tmp_path: Path) -> None:
    metrics = WorkerMetrics(str(tmp_path))
    run_worker(tmp_path)
    (tmp_path / "counter_1.db").touch()
    assert "spanqa_things_total 2.0" in generate_latest(metrics.registry).decode()
