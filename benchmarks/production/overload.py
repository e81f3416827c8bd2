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
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from asking import ask_all  # noqa: E402
from production.sampling import Sampler  # noqa: E402
from report import write_result  # noqa: E402
from support.processes import RunningServer, running_server  # noqa: E402
from support.steady import OK, Asked, Steady, connected, learn  # noqa: E402
from workload import add_data_option, squad_mix  # noqa: E402

REJECTED = "RESOURCE_EXHAUSTED"
QUESTIONS, CONNECTIONS = 400, 16
HEALTH_SECONDS = 0.1
RECOVERY_SECONDS = 10.0
# A call of the time after the load is answered as before within so many times the usual time.
USUAL_TIMES = 3.0


@dataclass(frozen=True)
class Report:
    """What came of it."""

    capacity: float
    offered_per_second: float
    answered_per_second: float
    codes: dict[str, int]
    median_rejection_seconds: float
    p99_rejection_seconds: float
    median_answer_seconds: float
    p99_answer_seconds: float
    health: dict[str, int]
    slowest_health_seconds: float
    recovery_seconds: float
    generator_late_seconds: float
    cores_used: dict[str, float]
    """While the load lasted, by the processes of the server and by the callers beside them."""

    @property
    def goodput(self) -> float:
        return self.answered_per_second / self.capacity


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--times", type=float, default=5.0, help="the capacity")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--timeout", type=float, default=5.0, help="deadline of each call, s")
    parser.add_argument("--callers", type=int, default=64, help="of the capacity")
    parser.add_argument("--capacity-seconds", type=float, default=20.0)
    parser.add_argument("--shape", choices=("embedded", "bert-large"), default="embedded")
    parser.add_argument("--flags", default="", help="more flags of the server, with spaces")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        repository_of(arguments.shape) as repository,
        running_server(repository, Path(directory) / "log", *arguments.flags.split()) as server,
    ):
        report, curves = asyncio.run(measure(arguments, server))
    for name, value in asdict(report).items():
        print(f"{name}: {value if isinstance(value, dict) else f'{value:.4g}'}")
    print(f"goodput: {report.goodput:.1%} of capacity")
    for name, curve in curves.items():
        shown = [curve["megabytes"][at * (len(curve["megabytes"]) - 1) // 9] for at in range(10)]
        print(f"MB of {name}: {[round(value) for value in shown]}")
    if arguments.json:
        write_result(arguments.json, arguments, report=asdict(report), curves=curves)


@contextlib.contextmanager
def repository_of(shape: str) -> Iterator[Path]:
    """The default model's, or one of BERT-large's shape with random weights, in bfloat16."""
    if shape == "embedded":
        yield ROOT / "model_repository"
        return
    from models import prepared_weights  # needs torch and transformers

    with prepared_weights("bert-large", "bfloat16", {"packed": None}) as weights:
        yield weights.repositories["packed"]


async def measure(
    arguments: argparse.Namespace, server: RunningServer
) -> tuple[Report, dict[str, Any]]:
    requests = squad_mix(arguments.data, QUESTIONS)
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
    report = summary(capacity, load, begin, end, health, recovered - end, busy)
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
    capacity: float,
    load: Steady,
    begin: float,
    end: float,
    health: list[tuple[str, float]],
    recovered: float,
    busy: dict[str, float],
) -> Report:
    seconds = end - begin
    answered = times_of(load.calls, OK)
    rejected = times_of(load.calls, REJECTED)
    statuses = [status for status, _ in health]
    late = max(call.sent - begin - at / load.rate for at, call in enumerate(load.calls))
    return Report(
        capacity,
        len(load.calls) / seconds,
        sum(call.code == OK and call.settled < end for call in load.calls) / seconds,
        load.codes(),
        percentile(rejected, 50),
        percentile(rejected, 99),
        percentile(answered, 50),
        percentile(answered, 99),
        {status: statuses.count(status) for status in set(statuses)},
        max(took for _, took in health),
        recovered,
        late,
        busy,
    )


def cpu_of(sampler: Sampler) -> dict[str, float]:
    """CPU seconds so far."""
    sampler.look()
    times = psutil.Process().cpu_times()
    curves = {name: curve.cpu_seconds for name, curve in sampler.by_name().items()}
    return curves | {"callers": times.user + times.system}


def times_of(calls: list[Asked], code: str) -> list[float]:
    return sorted(call.seconds for call in calls if call.code == code)


def percentile(ordered: list[float], share: int) -> float:
    return ordered[len(ordered) * share // 100] if ordered else float("nan")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
