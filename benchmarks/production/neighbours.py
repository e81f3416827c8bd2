"""One caller beside a hostile one: how long its calls take, alone and beside each kind of flood.

`make bench-neighbours`. The caller has one connection and sends one call at a time. The flood comes
from another process. As the reference, the same flood goes to another server on the machine, which
only ends as many calls a second as ours did: what is slower then is the doing of the flood's own
processor time. What a server does for the flood is in no reference.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from time import monotonic

import grpc
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import ROOT
from benchmarks.common.asking import cpu_seconds
from benchmarks.common.report import percentile, write_result
from benchmarks.common.serving import load_parser, served
from spanqa.v1 import question_answering_pb2 as pb
from support.floods import FLOODS, Flooding, beside
from support.processes import RunningServer, free_port, poll
from support.steady import OK, Asked, connected

REQUEST = pb.AnswerRequest(
    question="Where was Curie born?", context="Marie Curie was born in Warsaw in 1867."
)
TIMES = 5
SETTLE_SECONDS = 3.0


STAGES = ("tokenize", "queue", "infer", "decode", "rest")


@dataclass(slots=True)
class Told(Asked):
    """A call, and the seconds of its stages."""

    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """The caller's calls in one situation; times in seconds, processors as cores in use."""

    flood: str
    beside: str
    calls: int
    codes: dict[str, int]
    p50: float
    p95: float
    within: float
    stages: dict[str, float]
    """Medians, of what the answers tell, and of what is left of the caller's own time."""
    flood_ended_per_second: float
    cores: dict[str, float]


def main() -> None:
    """Measure and print."""
    parser = load_parser(__doc__, timeout=20.0)
    parser.add_argument("floods", nargs="*", help="whose names hold one of these; default: all")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each situation")
    parser.add_argument("--reference", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    chosen = [name for name in FLOODS if any(part in name for part in arguments.floods or [""])]
    rows: list[Row] = []
    for name in chosen:
        with served(arguments.repository) as server:
            rows += measure(arguments, server, name)
        show(rows[-3:] if arguments.reference else rows[-2:])
    if arguments.json:
        write_result(arguments.json, arguments, rows=[asdict(row) for row in rows])


def measure(arguments: argparse.Namespace, server: RunningServer, name: str) -> list[Row]:
    """Alone, beside the flood, and beside the flood at another server."""
    asyncio.run(ask(server.target, 2.0, arguments.timeout))  # warm
    alone = asyncio.run(ask(server.target, arguments.seconds, arguments.timeout))
    limit = TIMES * statistics.median(call.seconds for call in alone)
    rows = [row(name, "alone", alone, limit)]
    with beside(FLOODS[name], server.target) as flooding:
        rows.append(observe(arguments, server, name, "the flood", flooding, limit))
    if arguments.reference:
        server.wait_until_idle(120)
        rate = max(rows[-1].flood_ended_per_second, 0.1)
        with doing_nothing(rate) as target, beside(FLOODS[name], target) as flooding:
            rows.append(observe(arguments, server, name, "it elsewhere", flooding, limit))
    return rows


def observe(
    arguments: argparse.Namespace,
    server: RunningServer,
    name: str,
    what: str,
    flooding: Flooding,
    limit: float,
) -> Row:
    """The caller's calls while a flood is under way, and who has the processors meanwhile."""
    asyncio.run(ask(server.target, SETTLE_SECONDS, arguments.timeout))
    groups = {
        "frontend": [psutil.Process(server.process.pid)],
        "Triton": server.children(),
        "flood": [psutil.Process(flooding.pid)],
        "caller": [psutil.Process()],
    }
    begin, ended = monotonic(), flooding.progress.ended.value
    before = {group: cpu_seconds(processes) for group, processes in groups.items()}
    calls = asyncio.run(ask(server.target, arguments.seconds, arguments.timeout))
    seconds = monotonic() - begin
    cores = {group: (cpu_seconds(all_) - before[group]) / seconds for group, all_ in groups.items()}
    return row(name, what, calls, limit, (flooding.progress.ended.value - ended) / seconds, cores)


def row(
    flood: str,
    beside: str,
    calls: list[Told],
    limit: float,
    ended: float = 0.0,
    cores: dict[str, float] | None = None,
) -> Row:
    told = [call for call in calls if call.stages]
    times = sorted(call.seconds for call in calls)
    good = sum(call.code == OK and call.seconds <= limit for call in calls)
    return Row(
        flood,
        beside,
        len(calls),
        dict(Counter(call.code for call in calls)),
        percentile(times, 50),
        percentile(times, 95),
        good / len(calls),
        {name: statistics.median(one.stages[name] for one in told) for name in STAGES if told},
        ended,
        cores or {},
    )


async def ask(target: str, seconds: float, deadline: float) -> list[Told]:
    """One call at a time."""
    calls: list[Told] = []
    end = monotonic() + seconds
    async with connected(target, 1) as [stub]:
        while monotonic() < end:
            call = Told(monotonic())
            try:
                response = await stub.Answer(REQUEST, timeout=deadline)
                call.code = OK
            except grpc.aio.AioRpcError as error:
                call.code = error.code().name
            call.settled = monotonic()
            if call.code == OK:
                call.stages = stages_of(response.timing, call.seconds)
            calls.append(call)
    return calls


def stages_of(timing: pb.Timing, seconds: float) -> dict[str, float]:
    told = {name: getattr(timing, name).ToTimedelta().total_seconds() for name in STAGES[:-1]}
    return told | {"rest": seconds - sum(told.values())}


@contextlib.contextmanager
def doing_nothing(rate: float) -> Iterator[str]:
    """A server that ends so many calls a second, and has no other work."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.production.doing_nothing", str(port), str(rate)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            poll(lambda: bool(psutil.Process(process.pid).net_connections()), 20, "it listens")
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


def show(rows: list[Row]) -> None:
    made = Table(title=f"one call at a time beside: {rows[0].flood}")
    made.add_column("beside")
    for column in ("calls", "p50 ms", "p95 ms", f"within {TIMES} times", "ends/s"):
        made.add_column(column, justify="right")
    made.add_column("of it, ms")
    made.add_column("cores")
    made.add_column("statuses")
    for one in rows:
        stages = ", ".join(f"{name} {taken * 1e3:.1f}" for name, taken in one.stages.items())
        cores = ", ".join(f"{name} {cores:.2f}" for name, cores in one.cores.items())
        figures = (f"{one.p50 * 1e3:.1f}", f"{one.p95 * 1e3:.1f}", f"{one.within:.1%}")
        codes = ", ".join(f"{code} {count}" for code, count in one.codes.items())
        ended = f"{one.flood_ended_per_second:.1f}"
        made.add_row(one.beside, str(one.calls), *figures, ended, stages, cores, codes)
    Console(width=170).print(made)


if __name__ == "__main__":
    main()
