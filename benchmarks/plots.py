"""Draw docs/plots from benchmarks/results alone: `.venv/bin/python -m benchmarks.plots`.

The targets that measure write files and call this. The pictures are SVG and the same for the same
figures, so that a difference in git is a difference in what was measured. They bring their own
white ground, so that they can be read on dark pages.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import RESULTS, ROOT
from benchmarks.common.report import SPANQA

Json = dict[str, Any]
INK = "#24292f"
STYLE = {
    **{"svg.hashsalt": "spanqa", "svg.fonttype": "none", "font.size": 9, "axes.grid": True},
    **{"figure.facecolor": "white", "axes.facecolor": "white", "legend.facecolor": "white"},
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), INK),
    **{"xtick.color": INK, "ytick.color": INK, "grid.color": "#d0d7de", "axes.axisbelow": True},
}
LABEL = {
    "padding": 3,
    "fontsize": 7,
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.5},
}
# One colour and mark a contender, in every panel; where the numbers of callers stand beside it.
CONTENDERS = {
    SPANQA: ("#0969da", "o", (5, -9)),
    "SpanQA, padded to 384": ("#cf222e", "s", (-14, -3)),
    "SpanQA, padded to the longest": ("#bf8700", "D", (6, -9)),
    "MLServer, float32": ("#1a7f37", "^", (-3, 6)),
    "transformers pipeline, float32": ("#8250df", "v", (5, -9)),
    "transformers pipeline, bfloat16": ("#8250df", "P", (-9, -9)),
}
PROCESSES = {"frontend": "#0969da", "Triton": "#57606a", "model": "#cf222e", "guard": "#8250df"}
BARS = {"offered": "#57606a", "answered in time": "#1a7f37", "refused": "#bf8700"}
GENERATORS = {"open loop": ("#0969da", "o"), "ghz": ("#bf8700", "s")}
COMPARISONS = ("embedded-float32", "embedded-bfloat16")
OVERLOADS = {"overload": "embedded model", "overload-bert-large": "BERT-large's shape"}


def main() -> None:
    """Draw every picture whose figures are there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--results", type=Path, default=RESULTS, help="directory of the JSON files")
    add("--output", type=Path, default=ROOT / "docs" / "plots", help="directory for the SVG files")
    arguments = parser.parse_args()
    for path in draw(arguments.results, arguments.output):
        print(path)


def draw(results: Path, output: Path) -> list[Path]:
    """Draw into `output`; the files that were written."""
    found: dict[str, Json] = {
        path.stem: json.loads(path.read_text()) for path in sorted(results.glob("*.json"))
    }
    pictures: dict[str, tuple[tuple[str, ...], Callable[..., Figure]]] = {
        "throughput-latency": (COMPARISONS, throughput_and_latency),
        "stages": ((COMPARISONS[1], "frontend"), stages),
        "overload": (tuple(OVERLOADS), overload),
        "soak": (("soak",), soak),
        "ghz": (("ghz",), generators),
    }
    written = []
    with mpl.rc_context(STYLE):
        for name, (needed, picture) in pictures.items():
            if all(one in found for one in needed):
                figure = picture(*(found[one] for one in needed))
                figure.supxlabel(hardware(found[needed[0]]), fontsize=7)
                output.mkdir(parents=True, exist_ok=True)
                written.append(output / f"{name}.svg")
                # It says neither when nor by what version it was made.
                none = {"Date": None, "Creator": None}
                figure.savefig(written[-1], format="svg", metadata=none)
    if not written:
        sys.exit(f"{results} has no figures to draw: `make bench` measures and writes them")
    return written


def hardware(result: Json) -> str:
    """What the figures were measured on."""
    machine = result["machine"]
    return f"{machine['cores']} cores of an {machine['cpu']}, no GPU, Python {machine['python']}"


def throughput_and_latency(*comparisons: Json) -> Figure:
    """p50 and p99 over questions per second; a column for each comparison."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = figure.subplots(2, len(comparisons), sharey="row", squeeze=False)
    for column, result in enumerate(comparisons):
        by_contender: dict[str, list[Json]] = defaultdict(list)
        for row in result["rows"]:
            by_contender[row["contender"]].append(row)
        for panel, share in zip(panels[:, column], ("p50", "p99"), strict=True):
            for name in (one for one in CONTENDERS if one in by_contender):
                curve(panel, name, by_contender[name], share)
            panel.set(yscale="log", ylabel=f"latency {share}, ms", xlabel="questions per second")
            panel.margins(x=0.08, y=0.12)
            panel.set_xlim(left=0)
        arguments = result["arguments"]
        panels[0, column].set_title(f"{arguments['shape']} model, {arguments['dtype']}")
    handles = {
        label: handle
        for panel in panels.flat
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    names = [name for name in CONTENDERS if name in handles]
    title = "numbers at the points: callers at a time"
    figure.legend(
        [handles[name] for name in names], names, loc="outside upper center", ncols=3, title=title
    )
    return figure


def curve(panel: Any, name: str, rows: list[Json], share: str) -> None:
    """A contender's line, each point with its number of callers; SpanQA's is drawn bold."""
    colour, mark, beside = CONTENDERS[name]
    rates = [row["questions_per_second"] for row in rows]
    times = [row[f"{share}_seconds"] * 1e3 for row in rows]
    width = 2.4 if name == SPANQA else 1.2
    panel.plot(rates, times, label=name, color=colour, marker=mark, markersize=5, linewidth=width)
    for rate, time, row in zip(rates, times, rows, strict=True):
        place = {"xytext": beside, "textcoords": "offset points", "fontsize": 7}
        panel.annotate(str(row["concurrency"]), (rate, time), color=colour, **place)


def stages(comparison: Json, frontend: Json) -> Figure:
    """Where a request's time goes: by the clock in the service, CPU time in the frontend."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    clock, cpu = figure.subplots(1, 2)
    rows = [row for row in comparison["rows"] if row["contender"] == SPANQA]
    blues = ("#9ecae1", "#6baed6", "#2171b5", "#08306b")
    for row, mark, colour in zip(rows, "osD^", blues, strict=False):
        times = {stage: seconds * 1e3 for stage, seconds in row["stage_seconds"].items()}
        callers = f"{row['concurrency']} caller{'s' if row['concurrency'] > 1 else ''}"
        look = {"color": colour, "marker": mark, "linestyle": "", "markersize": 6}
        clock.plot(list(times.values()), list(times), label=callers, **look)
    clock.invert_yaxis()
    clock.set_xscale("log")
    arguments = comparison["arguments"]
    clock.set_title(f"a request, {arguments['shape']} model, {arguments['dtype']}")
    clock.set_xlabel("mean ms by the clock")
    clock.legend(fontsize=7)
    costs = sorted(frontend["stage_seconds"].items(), key=lambda stage: stage[1])
    spent = [seconds * 1e3 for _, seconds in costs]
    bars = cpu.barh([name.partition(" (")[0] for name, _ in costs], spent, color="#0969da")
    cpu.bar_label(bars, fmt="%.3f", **LABEL)
    cpu.set_title("a request, the frontend alone")
    cpu.set_xlabel("CPU ms")
    cpu.margins(x=0.15)
    return figure


def overload(*results: Json) -> Figure:
    """What was offered, answered and refused, how long callers waited, and memory."""
    figure = Figure(figsize=(11, 5.4), layout="constrained")
    panels = figure.subplots(len(results), 3, squeeze=False)
    for (rates, waits, memory), result, title in zip(
        panels, results, OVERLOADS.values(), strict=True
    ):
        report = result["report"]
        refused = report["codes"]["RESOURCE_EXHAUSTED"] / result["arguments"]["seconds"]
        values = [report["offered_per_second"], report["answered_per_second"], refused]
        bars = rates.barh(list(BARS), values, color=list(BARS.values()))
        rates.bar_label(bars, fmt="%.1f", **LABEL)
        capacity = report["capacity"]
        rates.axvline(
            capacity, color=INK, linestyle="--", zorder=0.5, label=f"capacity, {capacity:.1f}"
        )
        rates.set_title(f"{title}: calls a second")
        seconds = {
            f"{name} {share}": report[f"{prefix}_{kind}_seconds"] * 1e3
            for name, kind in (("answer", "answer"), ("refusal", "rejection"))
            for share, prefix in (("p50", "median"), ("p99", "p99"))
        }
        colours = [BARS["answered in time"]] * 2 + [BARS["refused"]] * 2
        bars = waits.barh(list(seconds), list(seconds.values()), color=colours)
        waits.bar_label(bars, fmt="{:,.1f}", **LABEL)
        waits.set(xscale="log", title=f"{title}: latency, ms")
        rates.legend(fontsize=7)
        for panel in (rates, waits):
            panel.invert_yaxis()
            panel.margins(x=0.2)
        by_process(memory, result["curves"], "megabytes", f"{title}: memory, MB")
    return figure


def soak(result: Json) -> Figure:
    """Memory and descriptors of each process over time, and latency by minute."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    memory, descriptors, latency = figure.subplots(1, 3)
    by_process(memory, result["curves"], "megabytes", "memory, MB")
    by_process(descriptors, result["curves"], "descriptors", "file descriptors")
    for (name, values), colour in zip(
        result["latencies"].items(), ("#0969da", "#bf8700"), strict=True
    ):
        latency.plot([at + 0.5 for at in range(len(values))], values, label=name, color=colour)
    latency.set(title="latency of single questions, ms", xlabel="minutes")
    latency.set_ylim(bottom=0)
    latency.legend(fontsize=7)
    return figure


def generators(result: Json) -> Figure:
    """Latency by rate, as ghz and as our open loop tell it."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for panel, share in zip(figure.subplots(1, 2), ("p50", "p99"), strict=True):
        for name, (colour, mark) in GENERATORS.items():
            rows = [row for row in result["rows"] if row["generator"] == name and row[share]]
            times = [row[share] * 1e3 for row in rows]
            rates = [row["rate"] for row in rows]
            panel.plot(rates, times, label=name, color=colour, marker=mark, markersize=5)
        panel.set(xlabel="requests offered a second", ylabel=f"latency {share}, ms")
        panel.set_ylim(bottom=0)
        panel.legend(fontsize=7)
    return figure


def by_process(panel: Any, curves: Json, what: str, title: str) -> None:
    """A line for each process of a server."""
    for name, values in curves.items():
        minutes = [seconds / 60 for seconds in values["seconds"]]
        panel.plot(minutes, values[what], label=name, color=PROCESSES.get(name))
    panel.set(title=title, xlabel="minutes")
    panel.set_ylim(bottom=0)
    panel.legend(fontsize=7)


if __name__ == "__main__":
    main()
