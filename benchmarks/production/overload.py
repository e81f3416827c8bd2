"""Five times as many calls as the server can answer, for minutes: what it still answers.

`make bench-overload`, and with `--shape bert-large`, where callers and refusals cost next to
nothing beside the model, although they share its cores. First its capacity, with callers who
always wait for an answer; then an open loop at a multiple of that, callers who do not wait for
each other; then a rate that it can keep up with again. Health is asked all the time, memory is
looked at every second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.common.asking import ask_all
from benchmarks.common.report import percentile, write_result
from benchmarks.common.serving import load_parser, served
from benchmarks.common.workload import squad_mix
from benchmarks.production.sampling import Sampler
from support.processes import RunningServer
from support.steady import OK, Asked, Steady, connected, learn

REFUSED = "RESOURCE_EXHAUSTED"
QUESTIONS, CONNECTIONS = 400, 16
HEALTH_SECONDS = 0.1
RECOVERY_SECONDS = 10.0
# A call of the time after the load is answered as before within so many times the usual time.
USUAL_TIMES = 3.0


def main() -> None:
    """Measure and print."""
    parser = load_parser(__doc__, timeout=5.0)
    add = parser.add_argument
    add("--times", type=float, default=5.0, help="the capacity")
    add("--seconds", type=float, default=180.0)
    add("--callers", type=int, default=64, help="when the capacity is measured")
    add("--questions", type=int, default=QUESTIONS, help="different ones")
    add("--capacity-seconds", type=float, default=20.0)
    add("--shape", choices=("embedded", "bert-large"), default="embedded")
    add("--flags", default="", help="more flags of the server, with spaces")
    arguments = parser.parse_args()
    with (
        repository_of(arguments) as repository,
        served(repository, *arguments.flags.split()) as server,
    ):
        report, curves = asyncio.run(measure(arguments, server))
    for name, value in report.items():
        print(f"{name}: {value if isinstance(value, dict) else f'{value:.4g}'}")
    share = report["answered_per_second"] / report["capacity"]
    print(f"answered in time: {share:.1%} of capacity")
    for name, curve in curves.items():
        megabytes = curve["megabytes"]
        print(f"MB of {name}: {megabytes[0]:.0f} first, {max(megabytes):.0f} at most")
    if arguments.json:
        write_result(arguments.json, arguments, report=report, curves=curves)


@contextlib.contextmanager
def repository_of(arguments: argparse.Namespace) -> Iterator[Path]:
    """The default model's, or one of BERT-large's shape with random weights, in bfloat16."""
    if arguments.shape == "embedded":
        yield arguments.repository
        return
    from benchmarks.common.models import prepared_weights  # needs torch and transformers

    with prepared_weights("bert-large", "bfloat16", {"packed": None}) as weights:
        yield weights.repositories["packed"]


async def measure(
    arguments: argparse.Namespace, server: RunningServer
) -> tuple[dict[str, Any], dict[str, Any]]:
    requests = squad_mix(arguments.data, arguments.questions)
    known = await learn(server.target, requests)
    capacity = await find_capacity(arguments, server.target, requests)
    print(f"capacity: {capacity:.1f} questions/s", file=sys.stderr)
    async with connected(server.target, CONNECTIONS) as stubs:
        calm = await offer(Steady(stubs, known, capacity / 4, arguments.timeout), 5.0)
        usual = statistics.median(call.seconds for call in calm.calls)
        sampler = Sampler(server, 1.0)
        watching = [asyncio.create_task(sampler.run())]
        health: list[tuple[str, float]] = []
        watching.append(asyncio.create_task(watch_health(server.target, health)))
        load = Steady(stubs, known, arguments.times * capacity, arguments.timeout)
        begin, cpu = monotonic(), cpu_of(sampler)
        await offer(load, arguments.seconds)
        end = begin + arguments.seconds
        busy = {
            name: (seconds - cpu.get(name, 0.0)) / arguments.seconds
            for name, seconds in cpu_of(sampler).items()
        }
        after = Steady(stubs, known, capacity / 4, arguments.timeout)
        recovered = await recovery(after, usual)
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    report = summary(capacity, load, begin, end, health)
    # Of the processes of the server and of the callers beside them, while the load lasted.
    report |= {"recovery_seconds": recovered - end, "cores_used": busy}
    return report, {name: asdict(curve) for name, curve in sampler.by_name().items()}


async def find_capacity(arguments: argparse.Namespace, target: str, requests: list[Any]) -> float:
    """Answers a second with so many callers, each with one question at a time."""
    await ask_all(target, requests, arguments.callers, CONNECTIONS)
    begin, count = monotonic(), 0
    while monotonic() - begin < arguments.capacity_seconds:
        count += len(await ask_all(target, requests, arguments.callers, CONNECTIONS))
    return count / (monotonic() - begin)


async def offer(load: Steady, seconds: float) -> Steady:
    """Run it for so long; what is under way then is not waited for."""
    running = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    load.stop()
    running.add_done_callback(lambda task: task.cancelled() or task.exception())
    return load


async def recovery(after: Steady, usual: float) -> float:
    """When the first of the calls was sent from which on all were answered in the usual time."""
    await offer(after, RECOVERY_SECONDS)
    await asyncio.sleep(1.0)
    slow = [
        call.sent
        for call in after.calls
        if call.code != OK or call.seconds > max(USUAL_TIMES * usual, 0.2)
    ]
    later = (call.sent for call in after.calls if not slow or call.sent > max(slow))
    return next(later, float("inf"))


async def watch_health(target: str, seen: list[tuple[str, float]]) -> None:
    """Ask ten times a second, each time over the same connection, and note how long it took."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            begin = monotonic()
            try:
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
                status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
            except grpc.aio.AioRpcError as error:
                status = error.code().name
            seen.append((status, monotonic() - begin))
            await asyncio.sleep(HEALTH_SECONDS)


def summary(
    capacity: float, load: Steady, begin: float, end: float, health: list[tuple[str, float]]
) -> dict[str, Any]:
    """What can be said of the load itself."""
    calls, seconds = load.calls, end - begin
    answered, refused = times_of(calls, OK), times_of(calls, REFUSED)
    return {
        "capacity": capacity,
        "offered_per_second": len(calls) / seconds,
        "answered_per_second": sum(one.code == OK and one.settled < end for one in calls) / seconds,
        "codes": load.codes(),
        "median_rejection_seconds": percentile(refused, 50),
        "p99_rejection_seconds": percentile(refused, 99),
        "median_answer_seconds": percentile(answered, 50),
        "p99_answer_seconds": percentile(answered, 99),
        "health": dict(Counter(status for status, _ in health)),
        "slowest_health_seconds": max(took for _, took in health),
        "generator_late_seconds": max(
            call.sent - begin - at / load.rate for at, call in enumerate(calls)
        ),
    }


def cpu_of(sampler: Sampler) -> dict[str, float]:
    """CPU seconds so far."""
    sampler.look()
    times = psutil.Process().cpu_times()
    curves = {name: curve.cpu_seconds for name, curve in sampler.by_name().items()}
    return curves | {"callers": times.user + times.system}


def times_of(calls: list[Asked], code: str) -> list[float]:
    return sorted(call.seconds for call in calls if call.code == code)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
