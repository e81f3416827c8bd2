"""What a request costs the frontend: CPU time of its process, and of each stage.

`make bench-frontend`. A real `spanqa-server` process answers SQuAD questions; behind it stands
something that speaks Triton's protocol and computes nothing. User and system time of the whole
process, all its threads, over the number of requests; the median of several rounds. The stages
are then measured alone, in this process; what they leave of the total is gRPC and asyncio.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from asking import ask_all, cpu_seconds  # noqa: E402
from no_cost_triton import running_no_cost_triton  # noqa: E402
from report import write_result  # noqa: E402
from spanqa.v1 import question_answering_pb2 as pb  # noqa: E402
from stages import measure_stages  # noqa: E402
from support.processes import running_server  # noqa: E402
from workload import add_data_option, squad_in_order, squad_mix  # noqa: E402

CONNECTIONS = 4
REST = "gRPC, asyncio, metrics (what is left)"
NEW = "everything, each context new"
IN_ORDER = "everything, SQuAD's questions in its order, each once"
SEEN = "everything, each context asked about before"
SERVERS: dict[str, tuple[str, ...]] = {NEW: ("--text-cache-bytes", "0"), IN_ORDER: (), SEEN: ()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--questions", type=int, default=1000, help="in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--json", type=Path, help="write the figures there")
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
        repository = ROOT / "model_repository"
        address = stack.enter_context(running_no_cost_triton())
        servers = {
            name: stack.enter_context(
                running_server(repository, directory / name, "--triton", address, *flags)
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
