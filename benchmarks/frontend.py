"""What a request costs the frontend: CPU time of its process, and of each stage.

`make bench-frontend`. A real `spanqa-server` process answers SQuAD questions; behind it stands
something that speaks Triton's protocol and computes nothing. User and system time of the whole
process, all its threads, over the number of requests; the median of several rounds. The stages
are then measured alone, in this process; what they leave of the total is gRPC and asyncio.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from spanqa.v1 import question_answering_pb2 as pb  # noqa: E402
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub  # noqa: E402
from stages import measure_stages  # noqa: E402
from support.processes import free_port, running_server  # noqa: E402
from workload import add_data_option, squad_mix  # noqa: E402

CONNECTIONS = 4


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--questions", type=int, default=1000, help="in a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--concurrency", type=int, default=16)
    arguments = parser.parse_args()
    requests = squad_mix(arguments.data, arguments.questions)
    total = measure_process(requests, arguments.rounds, arguments.concurrency)
    stages = measure_stages(requests)
    print(f"CPU milliseconds of the frontend a request, {len(requests)} SQuAD questions a round")
    for name, seconds in stages.items():
        print(f"  {name:32s} {seconds * 1e3:6.3f}")
    rest = statistics.median(total) - sum(stages.values())
    print(f"  {'gRPC, asyncio, metrics (the rest)':32s} {rest * 1e3:6.3f}")
    print(
        f"  {'everything, median of rounds':32s} {statistics.median(total) * 1e3:6.3f}   "
        f"({', '.join(f'{seconds * 1e3:.3f}' for seconds in total)})"
    )


def measure_process(requests: list[pb.AnswerRequest], rounds: int, concurrency: int) -> list[float]:
    """CPU seconds a request of each round, after one round to warm up."""
    port = free_port()
    program = [sys.executable, str(ROOT / "benchmarks" / "no_cost_triton.py"), str(port)]
    with tempfile.TemporaryDirectory() as directory, subprocess.Popen(program) as triton:
        try:
            with running_server(
                ROOT / "model_repository",
                Path(directory) / "log",
                *("--triton", f"127.0.0.1:{port}"),
            ) as server:
                process = psutil.Process(server.process.pid)
                return asyncio.run(
                    ask_in_rounds(server.target, process, requests, rounds, concurrency)
                )
        finally:
            triton.kill()


async def ask_in_rounds(
    target: str,
    process: psutil.Process,
    requests: list[pb.AnswerRequest],
    rounds: int,
    concurrency: int,
) -> list[float]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(target, options) for _ in range(CONNECTIONS)]
    stubs = [QuestionAnsweringServiceStub(channel) for channel in channels]
    costs = []
    for _ in range(rounds + 1):
        before = process.cpu_times()
        await ask_all(stubs, requests, concurrency)
        after = process.cpu_times()
        spent = after.user + after.system - before.user - before.system
        costs.append(spent / len(requests))
    for channel in channels:
        await channel.close()
    return costs[1:]


async def ask_all(stubs: Sequence[Any], requests: list[pb.AnswerRequest], concurrency: int) -> None:
    """Ask everything once, `concurrency` requests at a time."""
    left = iter(requests)

    async def caller(stub: Any) -> None:
        for request in left:
            response = await stub.Answer(request)
            assert response.answers

    async with asyncio.TaskGroup() as group:
        for number in range(concurrency):
            group.create_task(caller(stubs[number % len(stubs)]))


if __name__ == "__main__":
    main()
