"""What a second worker costs and gives: CPU time a request, shares of connections, a death.

`.venv/bin/python benchmarks/workers.py`. Servers of one and of two workers in turns, as many SQuAD
questions over each of 16 connections, a Triton model of no cost behind them. CPU time is that of
all processes of the server; loops of idle priority keep every core busy meanwhile, since a core's
second thread makes the first one slower, and two workers leave fewer idle than one. Then a worker
is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import grpc
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from asking import ask_all, cpu_seconds  # noqa: E402
from no_cost_triton import running_no_cost_triton  # noqa: E402
from spanqa.v1 import question_answering_pb2 as pb  # noqa: E402
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub  # noqa: E402
from support.processes import RunningServer, running_server  # noqa: E402
from workload import add_data_option, squad_mix  # noqa: E402

CONNECTIONS = 16
CALLERS_EACH = 2
ONE, TWO = "one worker", "two workers"
# The last share nothing by construction: what they cost beyond one is the machine's.
SERVERS = {ONE: [1], TWO: [2], "two servers with a port each": [1, 1]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--questions", type=int, default=1600, help="in a round")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    requests = squad_mix(arguments.data, arguments.questions)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address = stack.enter_context(running_no_cost_triton())
        stack.enter_context(busy_cores())
        servers = {
            name: [
                stack.enter_context(
                    running_server(
                        ROOT / "model_repository",
                        directory / f"{name} {number}",
                        *("--triton", address, "--workers", str(count), "--text-cache-bytes", "0"),
                    )
                )
                for number, count in enumerate(counts)
            ]
            for name, counts in SERVERS.items()
        }
        costs: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(arguments.rounds + 1):
            for name, group in servers.items():
                costs[name].append(measure(group, requests))
        one = statistics.median(costs[ONE][1:])
        for name, rounds in costs.items():
            told = ", ".join(f"{seconds * 1e3:.3f}" for seconds in rounds[1:])
            middle = statistics.median(rounds[1:])
            print(f"{name}: {middle * 1e3:.3f} ms CPU a request, {middle / one:.2f} times ({told})")
        kill_one(servers[TWO][0])


@contextlib.contextmanager
def busy_cores() -> Iterator[None]:
    """Leave no core idle; whatever else wants one gets it."""
    spawn = multiprocessing.get_context("spawn")
    loops = [spawn.Process(target=spin, daemon=True) for _ in os.sched_getaffinity(0)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.join()


def spin() -> None:
    """Run for ever, when nothing else does."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass


def measure(servers: list[RunningServer], requests: list[pb.AnswerRequest]) -> float:
    """CPU seconds a request of all processes of the servers; says how workers shared."""
    processes = [
        process
        for server in servers
        for process in (psutil.Process(server.process.pid), *server.children())
    ]
    shares, before = calls(servers[0]), cpu_seconds(processes)
    asyncio.run(ask_evenly([server.target for server in servers], requests))
    spent = (cpu_seconds(processes) - before) / len(requests)
    if len(shares) > 1:
        after = calls(servers[0])
        told = [f"{(after[one] - shares[one]) / len(requests):.1%}" for one in sorted(shares)]
        print(f"requests of {CONNECTIONS} connections: {' and '.join(told)}", file=sys.stderr)
    return spent


async def ask_evenly(targets: list[str], requests: list[pb.AnswerRequest]) -> None:
    """As many over each connection, and as many connections to each target."""
    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            mine, target = requests[number::CONNECTIONS], targets[number % len(targets)]
            group.create_task(ask_all(target, mine, CALLERS_EACH, connections=1))


def calls(server: RunningServer) -> dict[str, float]:
    """Calls that each worker has ended, by the metric's labels."""
    return {name: value for name, value in server.metrics().items() if "worker_calls" in name}


def kill_one(server: RunningServer) -> None:
    """Kill a worker; new connections are the other's from the moment that it is gone."""
    victim = next(one for one in server.children() if "spanqa_server.workers.child" in one.cmdline())
    victim.kill()
    victim.wait()
    died, slowest = perf_counter(), 0.0
    request = pb.AnswerRequest(question="Who?", context="It was Ada.")
    for _ in range(CONNECTIONS):
        begin = perf_counter()
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(server.target, options) as channel:
            QuestionAnsweringServiceStub(channel).Answer(request, timeout=10)
        slowest = max(slowest, perf_counter() - begin)
    print(
        f"a worker killed: {CONNECTIONS} new connections answered, the slowest in {slowest:.3f} s"
    )
    server.wait_for_metrics(lambda now: len(calls(server)) == 2 and now["spanqa_model_ready"] == 1)
    print(f"its successor is ready {perf_counter() - died:.1f} s after its death")


if __name__ == "__main__":
    main()
