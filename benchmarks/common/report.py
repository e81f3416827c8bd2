"""What came of a comparison: rows of medians, their table, and the JSON that plots are made of."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

SPANQA = "SpanQA, packed"
PLACES = ("data", "json", "repository", "target")


def machine() -> dict[str, object]:
    """What a benchmark ran on: processor, number of cores, Python version."""
    model = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a set of requests took: seconds by the clock, CPU seconds of all its processes."""

    requests: int
    windows: int
    wall: float
    cpu: float
    latencies: list[float]
    stages: list[dict[str, float]] = field(default_factory=list)
    """Seconds of each stage of each request, where the contender tells them."""


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of a contender over the rounds, at one number of callers."""

    contender: str
    concurrency: int
    questions_per_second: float
    windows_per_second: float
    cpu_seconds_per_question: float
    p50_seconds: float
    p99_seconds: float
    stage_seconds: dict[str, float]
    """Means over all requests; empty where the contender does not tell them."""


def summary(name: str, concurrency: int, rounds: list[Measured], windows: int) -> Row:
    """A row; `windows` are those of all requests of a round."""
    rate = statistics.median(one.requests / one.wall for one in rounds)
    latencies = sorted(seconds for one in rounds for seconds in one.latencies)
    stages = [request for one in rounds for request in one.stages]
    return Row(
        name,
        concurrency,
        rate,
        rate * windows / rounds[0].requests,
        statistics.median(one.cpu / one.requests for one in rounds),
        percentile(latencies, 50),
        percentile(latencies, 99),
        {stage: statistics.fmean(one[stage] for one in stages) for stage in stages[0]}
        if stages
        else {},
    )


def percentile(ordered: list[float], share: int) -> float:
    """A value of a sorted list; not a number if it is empty."""
    return ordered[len(ordered) * share // 100] if ordered else math.nan


def reference_beside(row: Row, rows: list[Row]) -> Row:
    """SpanQA with as many callers, or with the most beside what knows only one number."""
    ours = {one.concurrency: one for one in rows if one.contender == SPANQA}
    alone = sum(one.contender == row.contender for one in rows) == 1
    return ours[max(ours) if alone else row.concurrency]


def table(title: str, rows: list[Row]) -> Table:
    """The rows for people to read."""
    made = Table(title=title)
    made.add_column("contender")
    columns = ("callers", "questions/s", "windows/s", "CPU s/question", "p50 s", "p99 s")
    for column in (*columns, f"{SPANQA} is"):
        made.add_column(column, justify="right")
    for row in rows:
        times = reference_beside(row, rows).questions_per_second / row.questions_per_second
        made.add_row(
            row.contender,
            str(row.concurrency),
            f"{row.questions_per_second:.2f}",
            f"{row.windows_per_second:.2f}",
            f"{row.cpu_seconds_per_question:.4f}",
            f"{row.p50_seconds:.3f}",
            f"{row.p99_seconds:.3f}",
            f"{times:.2f} times as fast",
        )
    return made


def write_result(path: Path, arguments: argparse.Namespace, **figures: Any) -> None:
    """Figures, the machine and the options, without names of this machine's directories."""
    options = {name: value for name, value in vars(arguments).items() if name not in PLACES}
    result = {"machine": machine(), "data": arguments.data.name, "arguments": options, **figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
