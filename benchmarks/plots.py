"""Draw what was measured, from the JSON files alone: `.venv/bin/python benchmarks/plots.py`.

`make bench` and `make bench-frontend` write files and call this. The pictures are SVG and the
same for the same figures, so that a difference in git is a difference in what was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parent))

from report import RESULTS, SPANQA

PLOTS = Path(__file__).resolve().parents[1] / "docs" / "plots"
COMPARISONS = ("embedded-float32", "embedded-bfloat16")
FRONTEND = "frontend"
BATCHING = "triton-batching"
STYLE = {"svg.hashsalt": "spanqa", "svg.fonttype": "none", "font.size": 9, "axes.grid": True}
MARKERS = "osD^vPX*<>ph"


def main() -> None:
    """Draw every picture whose figures are there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="directory of the JSON files")
    parser.add_argument("--output", type=Path, default=PLOTS, help="directory for the SVG files")
    arguments = parser.parse_args()
    for path in draw(arguments.results, arguments.output):
        print(path)


def draw(results: Path, output: Path) -> list[Path]:
    """Draw into `output`; the files that were written."""
    found = {name: read(results / f"{name}.json") for name in COMPARISONS}
    comparisons = {name: result for name, result in found.items() if result}
    frontend = read(results / f"{FRONTEND}.json")
    if not comparisons:
        sys.exit(f"{results} has none of {', '.join(COMPARISONS)} (.json): run `make bench`")
    output.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        written = [save(throughput_and_latency(comparisons), output / "throughput-latency.svg")]
        if frontend:
            ours = list(comparisons.values())[-1]
            written.append(save(stages(ours, frontend), output / "stages.svg"))
        if soak := read(results / "soak.json"):
            figure = curves(soak["curves"], soak["latencies"])
            written.append(save(figure, output / "soak.svg"))
        if overload := read(results / "overload.json"):
            written.append(save(curves(overload["curves"]), output / "overload.svg"))
        if batching := read(results / f"{BATCHING}.json"):
            figure = throughput_and_latency({BATCHING: batching})
            written.append(save(figure, output / f"{BATCHING}.svg"))
    return written


def read(path: Path) -> dict[str, Any] | None:
    """A result, or nothing where it was not measured."""
    if not path.is_file():
        return None
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def save(figure: Figure, path: Path) -> Path:
    """Write an SVG that says neither when nor by what version it was made."""
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    return path


def throughput_and_latency(comparisons: dict[str, dict[str, Any]]) -> Figure:
    """A panel for each comparison: p50 and p99 over questions per second; ours is drawn bold."""
    figure = Figure(figsize=(max(6, 5 * len(comparisons)), 5.2), layout="constrained")
    panels = figure.subplots(1, len(comparisons), squeeze=False)[0]
    for panel, result in zip(panels, comparisons.values(), strict=True):
        by_contender: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in result["rows"]:
            by_contender[row["contender"]].append(row)
        for at, (name, rows) in enumerate(by_contender.items()):
            rates = [row["questions_per_second"] for row in rows]
            look = {"color": f"C{at}", "marker": MARKERS[at % len(MARKERS)], "markersize": 4}
            width = 1.0 if at else 2.0
            medians = [row["p50_seconds"] * 1e3 for row in rows]
            slowest = [row["p99_seconds"] * 1e3 for row in rows]
            panel.plot(rates, medians, label=name, linewidth=width, **look)
            panel.plot(rates, slowest, linestyle=":", linewidth=width, **look)
        arguments = result["arguments"]
        callers = ", ".join(map(str, arguments["concurrency"]))
        panel.set_title(f"{arguments['shape']} model, {arguments['dtype']}; callers: {callers}")
        panel.set_yscale("log")
        panel.set_xlim(left=0)
        panel.set_xlabel("questions per second")
        panel.set_ylabel("latency, ms: p50 (solid), p99 (dotted)")
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=7)
    return figure


def stages(comparison: dict[str, Any], frontend: dict[str, Any]) -> Figure:
    """Where a request's time goes: by the clock in the service, CPU time in the frontend."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    clock, cpu = figure.subplots(1, 2)
    rows = [row for row in comparison["rows"] if row["contender"] == SPANQA]
    for row, marker in zip(rows, MARKERS, strict=False):
        times = {stage: seconds * 1e3 for stage, seconds in row["stage_seconds"].items()}
        label = f"callers: {row['concurrency']}"
        clock.plot(list(times.values()), list(times), marker, markersize=5, label=label)
    clock.invert_yaxis()
    clock.set_xscale("log")
    arguments = comparison["arguments"]
    clock.set_title(f"a request, {arguments['shape']} model, {arguments['dtype']}")
    clock.set_xlabel("mean ms by the clock")
    clock.legend(fontsize=7)
    costs = sorted(frontend["stage_seconds"].items(), key=lambda stage: stage[1])
    bars = cpu.barh([name for name, _ in costs], [seconds * 1e3 for _, seconds in costs])
    cpu.bar_label(bars, fmt="%.3f", padding=2, fontsize=7)
    cpu.set_title("a request, the frontend alone")
    cpu.set_xlabel("CPU ms")
    cpu.margins(x=0.15)
    return figure


def curves(processes: dict[str, Any], latencies: dict[str, list[float]] | None = None) -> Figure:
    """Memory and descriptors of each process over time, and latency by minute."""
    panels = 3 if latencies else 2
    figure = Figure(figsize=(3.6 * panels, 3.0), layout="constrained")
    memory, descriptors, *latency = figure.subplots(1, panels)
    for name, curve in processes.items():
        minutes = [seconds / 60 for seconds in curve["seconds"]]
        memory.plot(minutes, curve["megabytes"], label=name)
        descriptors.plot(minutes, curve["descriptors"], label=name)
    memory.set_title("memory, MB")
    descriptors.set_title("file descriptors")
    for panel in latency:
        for name, values in (latencies or {}).items():
            panel.plot([at + 0.5 for at in range(len(values))], values, label=name)
        panel.set_title("latency, ms")
    for panel in (memory, descriptors, *latency):
        panel.set_xlabel("minutes")
        panel.set_ylim(bottom=0)
        panel.legend(fontsize=7)
    return figure


if __name__ == "__main__":
    main()
