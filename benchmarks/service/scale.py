"""One, two and four frontends at one Triton, and one at two Tritons: what this machine shows.

`python -m benchmarks.service.scale`. All share the cores of this machine, so more of them cannot
be faster by more than what was idle. The question is what they cost. In turns; medians.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.common.asking import ask_all
from benchmarks.common.report import write_result
from benchmarks.common.serving import load_parser
from benchmarks.common.workload import squad_mix
from benchmarks.production.sampling import Sampler
from support.processes import RunningServer, running_server
from support.triton import address_of, on_tcp

CONNECTIONS = 32
FRONTENDS = {"frontend", "worker"}
# A server, and those beside it whose Tritons it uses.
Served = tuple[RunningServer, list[RunningServer]]


def main() -> None:
    """Measure, print, write JSON."""
    parser = load_parser(__doc__)
    add = parser.add_argument
    add("--questions", type=int, default=400, help="in a round")
    add("--rounds", type=int, default=5)
    add("--callers", type=int, default=64)
    arguments = parser.parse_args()
    requests = squad_mix(arguments.data, arguments.questions)
    taken: dict[str, list[tuple[float, dict[str, float]]]] = {}
    with all_served(arguments.repository) as servers:
        samplers = {
            name: [Sampler(one, 1.0) for one in (server, *beside)]
            for name, (server, beside) in servers.items()
        }
        turns = [name for _ in range(arguments.rounds + 1) for name in servers]
        for name in track(turns, "measuring", console=Console(stderr=True)):
            before, begin = cpu_of(samplers[name]), perf_counter()
            asking = ask_all(servers[name][0].target, requests, arguments.callers, CONNECTIONS)
            asyncio.run(asking)
            rate = len(requests) / (perf_counter() - begin)
            used = cpu_of(samplers[name])
            used.subtract(before)
            costs = {kind: seconds / len(requests) for kind, seconds in used.items()}
            taken.setdefault(name, []).append((rate, costs))
    rows = {name: row_of(rounds[1:]) for name, rounds in taken.items()}
    show(rows, arguments.callers)
    if arguments.json:
        write_result(arguments.json, arguments, rows=rows)


@contextlib.contextmanager
def all_served(repository: Path) -> Iterator[dict[str, Served]]:
    """A server of each kind, all at once; only one is asked at a time."""
    with contextlib.ExitStack() as stack:
        there = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def serve(name: str, *flags: str) -> RunningServer:
            return stack.enter_context(running_server(repository, there / name, *flags))

        owners = [serve(f"owner {number}") for number in range(2)]
        addresses = [stack.enter_context(on_tcp(address_of(one))) for one in owners]
        yield {
            "1 frontend, 1 Triton": (serve("1"), []),
            "2 frontends, 1 Triton": (serve("2", "--workers", "2"), []),
            "4 frontends, 1 Triton": (serve("4", "--workers", "4"), []),
            "1 frontend, 2 Tritons": (serve("1, 2", "--triton", ",".join(addresses)), owners),
        }


def cpu_of(samplers: list[Sampler]) -> Counter[str]:
    """CPU seconds so far, of frontends and of everything else."""
    seconds = Counter[str]()
    for sampler in samplers:
        sampler.look()
        for curve in sampler.curves.values():
            kind = "frontends" if curve.name in FRONTENDS else "Tritons and models"
            seconds[kind] += curve.cpu_seconds  # type: ignore[assignment]
    return seconds


def row_of(rounds: list[tuple[float, dict[str, float]]]) -> dict[str, float]:
    """Medians: questions a second, and CPU seconds a question."""
    kinds = rounds[0][1]
    row = {kind: statistics.median(costs[kind] for _, costs in rounds) for kind in kinds}
    return {"questions_per_second": statistics.median(rate for rate, _ in rounds), **row}


def show(rows: dict[str, dict[str, float]], callers: int) -> None:
    table = Table(title=f"{callers} callers, all on the same cores")
    for column in ("", "questions/s", "CPU ms a question: frontends", "Tritons and models"):
        table.add_column(column, justify="right" if column else "left")
    for name, row in rows.items():
        costs = (f"{1e3 * row[kind]:.2f}" for kind in ("frontends", "Tritons and models"))
        table.add_row(name, f"{row['questions_per_second']:.1f}", *costs)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
