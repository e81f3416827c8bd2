"""Has a stage of the frontend become slower? Beside `baseline.json`, in steady units.

`make bench-check`. A stage's CPU seconds are divided by those of a calibration loop that takes
turns with it, a loop of the same kind: bytecode, small numpy arrays, memory. What slows both
(a neighbour, another machine of the kind) falls out; medians over many short repeats. A stage
that costs more than `--tolerance` times the baseline is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import thread_time

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.common.workload import make_parser, squad_mix
from benchmarks.frontend.stages import rank_windows, run_stages
from spanqa.v1 import question_answering_pb2 as pb

BASELINE = Path(__file__).with_name("baseline.json")
RANKING = "rank 100 windows"
Costs = dict[str, float]


def main(argv: list[str] | None = None) -> int:
    """Measure, compare, print; or write the baseline."""
    arguments = parse_arguments(argv)
    baseline = None if arguments.update else read_baseline(arguments.baseline)
    requests = squad_mix(arguments.data, arguments.questions)
    now = measure(partial(run_once, requests), calibrate, arguments.repeats)
    if baseline is None:
        text = json.dumps({name: round(cost, 5) for name, cost in now.items()}, indent=1)
        arguments.baseline.write_text(text + "\n")
        print(f"wrote {arguments.baseline}")
        return 0
    show(baseline, now)
    slower = slower_stages(baseline, now, arguments.tolerance)
    for name in slower:
        print(
            f"{name}: {now[name] / baseline[name]:.2f} times the baseline "
            f"(tolerance {arguments.tolerance})"
        )
    if not slower:
        print(f"no stage costs more than {arguments.tolerance} times the baseline")
    return 1 if slower else 0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--baseline", type=Path, default=BASELINE)
    parser.add_argument("--update", action="store_true", help="write the baseline instead")
    parser.add_argument("--tolerance", type=float, default=1.25, help="times the baseline")
    parser.add_argument("--questions", type=int, default=40, help="in a repeat")
    parser.add_argument("--repeats", type=int, default=40)
    return parser.parse_args(argv)


def read_baseline(file: Path) -> Costs:
    """A positive number for each stage; exits where the file is anything else."""
    remedy = "write it with `-m benchmarks.frontend.check --update`"
    try:
        costs = json.loads(file.read_text())
    except OSError as error:
        sys.exit(f"{file}: {error.strerror}; {remedy}")
    except ValueError as error:
        sys.exit(f"{file}: not JSON ({error}); {remedy}")
    if not isinstance(costs, dict) or not costs:
        sys.exit(f"{file}: must be an object with a number for each stage; {remedy}")
    for name, cost in costs.items():
        if type(cost) not in (int, float) or not cost > 0:
            sys.exit(f"{file}: {name!r} must be a positive number, not {cost!r}; {remedy}")
    return {name: float(cost) for name, cost in costs.items()}


def run_once(requests: list[pb.AnswerRequest]) -> Costs:
    """CPU seconds a request of each stage, and of ranking 100 windows."""
    return run_stages(requests) | {RANKING: rank_windows(100, top_k=20, repeats=4)}


def calibrate() -> float:
    """CPU seconds of a loop that never changes: its work is the unit of all costs."""
    numbers = np.arange(384, dtype=np.float32)
    block = np.ones(1 << 18, dtype=np.float32)
    begin = thread_time()
    for turn in range(40):
        words = {f"{turn}{number}": number for number in range(100)}
        sorted(words, key=words.__getitem__, reverse=True)
        for _ in range(10):
            np.argpartition(np.logaddexp(numbers, numbers[::-1]), 20)
        block.copy()
    return thread_time() - begin


def measure(run: Callable[[], Costs], calibration: Callable[[], float], repeats: int) -> Costs:
    """Each stage's cost in calibration loops; median of the repeats after the first."""
    ratios: dict[str, list[float]] = defaultdict(list)
    before = calibration()
    for _ in track(range(repeats + 1), "measuring", console=Console(stderr=True)):
        seconds = run()
        after = calibration()
        for name, taken in seconds.items():
            ratios[name].append(2 * taken / (before + after))
        before = after
    return {name: statistics.median(values[1:]) for name, values in ratios.items()}


def slower_stages(baseline: Costs, now: Costs, tolerance: float) -> list[str]:
    """Stages that cost more than `tolerance` times the baseline; exits where the stages differ."""
    if changed := baseline.keys() ^ now.keys():
        names = ", ".join(sorted(changed))
        sys.exit(f"the baseline has other stages ({names}); renew it with --update")
    return [name for name, cost in now.items() if cost > tolerance * baseline[name]]


def show(baseline: Costs, now: Costs) -> None:
    table = Table(title="CPU cost in calibration loops")
    for column in ("stage", "baseline", "now", "ratio"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name in (one for one in now if one in baseline):
        ratio = now[name] / baseline[name]
        table.add_row(name, f"{baseline[name]:.4f}", f"{now[name]:.4f}", f"{ratio:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    sys.exit(main())
