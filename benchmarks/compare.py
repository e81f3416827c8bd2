"""SpanQA beside what people would otherwise use: same weights, same questions, same two cores.

`make bench`. Every contender answers the same requests, in turns, several rounds; the table has
medians. What is measured is said by the columns: questions by the clock, and CPU seconds of all
processes of a contender a question, which say more on a machine that others use too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

from contenders import Contender, Measured, local, service  # noqa: E402
from local_contenders import LOCAL  # noqa: E402
from machine import machine  # noqa: E402
from models import prepared_weights  # noqa: E402
from workload import MIXES, add_data_option  # noqa: E402

SPANQA = "SpanQA, packed"
SERVICES = {
    SPANQA: "packed",
    "SpanQA, padded to 384": "padded to 384",
    "SpanQA, padded to the longest": "padded to the longest",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of a contender over the rounds."""

    contender: str
    questions_per_second: float
    windows_per_second: float
    cpu_seconds_per_question: float
    p50_seconds: float
    p99_seconds: float


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    requests = MIXES[arguments.mix](arguments.data, arguments.questions)
    rounds: dict[str, list[Measured]] = defaultdict(list)
    with (
        prepared_weights(arguments.shape, arguments.dtype) as weights,
        contextlib.ExitStack() as stack,
    ):
        contenders: dict[str, Contender] = {}
        for name, padding in SERVICES.items():
            contenders[name] = stack.enter_context(service(weights.repositories[padding]))
        for name in LOCAL:
            for dtype in dict.fromkeys(("float32", arguments.dtype)):
                contenders[f"{name}, {dtype}"] = stack.enter_context(local(name, weights, dtype))
        for contender in contenders.values():
            contender.answer(requests[: arguments.concurrency], arguments.concurrency)
        turns = [name for _ in range(arguments.rounds) for name in contenders]
        for name in track(turns, "measuring", console=Console(stderr=True)):
            rounds[name].append(contenders[name].answer(requests, arguments.concurrency))
    windows = rounds[SPANQA][0].windows
    rows = [summary(name, measured, windows) for name, measured in rounds.items()]
    show(arguments, rows, windows)
    if arguments.json:
        result = {
            "machine": machine(),
            "arguments": {key: str(value) for key, value in vars(arguments).items()},
            "windows": windows,
            "rows": [asdict(row) for row in rows],
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--shape", choices=("embedded", "bert-large"), default="embedded")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--mix", choices=tuple(MIXES), default="squad")
    parser.add_argument("--questions", type=int, default=256, help="in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, default=32, help="callers of a service")
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args()


def summary(name: str, rounds: list[Measured], windows: int) -> Row:
    rate = statistics.median(one.requests / one.wall for one in rounds)
    latencies = sorted(seconds for one in rounds for seconds in one.latencies)
    return Row(
        name,
        rate,
        rate * windows / rounds[0].requests,
        statistics.median(one.cpu / one.requests for one in rounds),
        latencies[len(latencies) // 2],
        latencies[len(latencies) * 99 // 100],
    )


def show(arguments: argparse.Namespace, rows: list[Row], windows: int) -> None:
    table = Table(
        title=f"{arguments.shape}, {arguments.dtype}, {arguments.mix}: {arguments.questions} "
        f"questions, {windows} windows, {arguments.rounds} rounds, services asked by "
        f"{arguments.concurrency} callers"
    )
    columns = ("questions/s", "windows/s", "CPU s/question", "p50 s", "p99 s", "SpanQA is")
    table.add_column("contender")
    for column in columns:
        table.add_column(column, justify="right")
    ours = next(row for row in rows if row.contender == SPANQA)
    for row in rows:
        table.add_row(
            row.contender,
            f"{row.questions_per_second:.2f}",
            f"{row.windows_per_second:.2f}",
            f"{row.cpu_seconds_per_question:.4f}",
            f"{row.p50_seconds:.3f}",
            f"{row.p99_seconds:.3f}",
            f"{ours.questions_per_second / row.questions_per_second:.2f} times as fast",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
