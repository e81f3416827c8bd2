"""Ask a running server at a constant rate, whatever it makes of that, and say how long each took.

`.venv/bin/python benchmarks/open_loop.py --rate 40`. Requests are sent when a schedule says so
(gaps are exponential, as those of many independent callers are), never because an answer came;
the time of each counts from when it should have been sent. So a server that falls behind shows
it, which a fixed number of waiting callers would hide.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parent))

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from workload import MIXES, add_data_option

PERCENTILES = (50, 90, 95, 99, 99.9)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a schedule; seconds of answered requests by percentile."""

    offered_per_second: float
    answered_per_second: float
    codes: dict[str, int]
    seconds: dict[str, float]
    latest_send_seconds: float
    """By how much the generator itself was late at most: above some milliseconds, distrust it."""


def main() -> None:
    """Run a schedule, print its report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--target", default="localhost:50051")
    parser.add_argument("--rate", type=float, required=True, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--timeout", type=float, default=10.0, help="of each request, seconds")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--mix", choices=tuple(MIXES), default="squad")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    requests = MIXES[arguments.mix](arguments.data, 1000)
    report = asyncio.run(run(arguments, requests))
    if arguments.json:
        print(json.dumps(asdict(report)))
        return
    print(
        f"offered {report.offered_per_second:.1f}/s, answered {report.answered_per_second:.1f}/s; "
        + ", ".join(f"{code} {count}" for code, count in report.codes.items())
    )
    told = ", ".join(f"p{name} {seconds * 1e3:.0f}" for name, seconds in report.seconds.items())
    print(
        f"ms from the scheduled time: {told}; sent at most "
        f"{report.latest_send_seconds * 1e3:.0f} ms late"
    )


async def run(arguments: argparse.Namespace, requests: list[pb.AnswerRequest]) -> Report:
    """Send what the schedule says, wait for all answers."""
    schedule = arrivals(arguments.rate, arguments.seconds)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [
        grpc.aio.insecure_channel(arguments.target, options) for _ in range(arguments.connections)
    ]
    stubs: list[Any] = [QuestionAnsweringServiceStub(channel) for channel in channels]
    for stub in stubs:  # connected before the clock starts
        await stub.GetModel(pb.GetModelRequest(), wait_for_ready=True, timeout=30)
    codes: Counter[str] = Counter()
    seconds: list[float] = []
    late = 0.0
    begin = perf_counter()

    async def ask(number: int, due: float) -> None:
        try:
            request = requests[number % len(requests)]
            await stubs[number % len(stubs)].Answer(request, timeout=arguments.timeout)
        except grpc.aio.AioRpcError as error:
            codes[error.code().name] += 1
        else:
            codes["OK"] += 1
            seconds.append(perf_counter() - begin - due)

    async with asyncio.TaskGroup() as group:
        for number, due in enumerate(schedule):
            await asyncio.sleep(max(0.0, begin + due - perf_counter()))
            late = max(late, perf_counter() - begin - due)
            group.create_task(ask(number, due))
    took = perf_counter() - begin
    for channel in channels:
        await channel.close()
    seconds.sort()
    return Report(
        len(schedule) / arguments.seconds,
        len(seconds) / took,
        dict(codes.most_common()),
        {f"{p:g}": seconds[min(len(seconds) - 1, int(len(seconds) * p / 100))] for p in PERCENTILES}
        if seconds
        else {},
        late,
    )


def arrivals(rate: float, seconds: float) -> list[float]:
    """When to send each request: the same for the same arguments."""
    source, at, times = random.Random(0), 0.0, []
    while (at := at + source.expovariate(rate)) < seconds:
        times.append(at)
    return times


if __name__ == "__main__":
    main()
