"""What a request costs the frontend: CPU time of its process, and of each stage.

`make bench-frontend`. A real `spanqa-server` process answers SQuAD questions; behind it stands
something that speaks Triton's protocol and computes nothing. User and system time of the whole
process, all its threads, over the number of requests; the median of several rounds. The stages
are then measured alone, in this process; what they leave of the total is gRPC and asyncio.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
from itertools import cycle, islice
from pathlib import Path

import psutil

from benchmarks import REPOSITORY
from benchmarks.common.asking import ask_all, cpu_seconds
from benchmarks.common.report import write_result
from benchmarks.common.workload import make_parser, squad_in_order, squad_mix
from benchmarks.frontend.no_cost_triton import running_no_cost_triton
from benchmarks.frontend.stages import measure_stages
from spanqa.v1 import question_answering_pb2 as pb
from support.processes import running_server

CONNECTIONS = 4
REST = "gRPC, asyncio, metrics (what is left)"
NEW = "everything, each context new"
IN_ORDER = "everything, SQuAD's questions in its order, each once"
SEEN = "everything, each context asked about before"
SERVERS: dict[str, tuple[str, ...]] = {NEW: ("--text-cache-bytes", "0"), IN_ORDER: (), SEEN: ()}


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--questions", type=int, default=1000, help="in a round")
    add("--rounds", type=int, default=7)
    add("--concurrency", type=int, default=16)
    add("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    requests = squad_mix(arguments.data, arguments.questions)
    costs = measure_process(
        requests, squad_in_order(arguments.data), arguments.rounds, arguments.concurrency
    )
    stages = measure_stages(requests)
    rest = statistics.median(costs[NEW]) - sum(stages.values())
    if arguments.json:
        write_result(arguments.json, arguments, stage_seconds={**stages, REST: rest}, rounds=costs)
    print(f"CPU milliseconds of the frontend a request, {len(requests)} SQuAD questions a round")
    for name, seconds in stages.items():
        print(f"  {name:56s} {seconds * 1e3:6.3f}")
    print(f"  {REST:56s} {rest * 1e3:6.3f}")
    for name, rounds in costs.items():
        told = ", ".join(f"{seconds * 1e3:.3f}" for seconds in rounds)
        print(f"  {name:56s} {statistics.median(rounds) * 1e3:6.3f}   ({told})")


def measure_process(
    requests: list[pb.AnswerRequest],
    in_order: list[pb.AnswerRequest],
    rounds: int,
    concurrency: int,
) -> dict[str, list[float]]:
    """CPU seconds a request of each round; servers in turns, after a round to warm up."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = stack.enter_context(running_no_cost_triton())
        servers = {
            name: stack.enter_context(
                running_server(REPOSITORY, directory / name, "--triton", address, *flags)
            )
            for name, flags in SERVERS.items()
        }
        costs: dict[str, list[float]] = {name: [] for name in servers}
        for at in range(rounds + 1):
            part = islice(cycle(in_order), at * len(requests), (at + 1) * len(requests))
            asked = {NEW: requests, IN_ORDER: list(part), SEEN: requests}
            for name, server in servers.items():
                process = psutil.Process(server.process.pid)
                before = cpu_seconds([process])
                asyncio.run(ask_all(server.target, asked[name], concurrency, CONNECTIONS))
                costs[name].append((cpu_seconds([process]) - before) / len(requests))
    return {name: seconds[1:] for name, seconds in costs.items()}


if __name__ == "__main__":
    main()
