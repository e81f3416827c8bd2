"""Callers who wait: bursts, closed loops, a neighbour with many calls, an idle frontend.

`make bench-waiting`. No call should be refused that could have been answered. For bursts the
reference is the same server with admission control off: what it answers in time could have been.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import grpc

import spanqa
from benchmarks.common.report import percentile, write_result
from benchmarks.common.workload import lengths_mix, make_parser, squad_mix
from benchmarks.production.overload import repository_of, watch_health
from spanqa.v1 import question_answering_pb2 as pb
from support.processes import SERVER, RunningServer, running_server
from support.steady import OK, Asked, connected
from support.triton import address_of

WITHOUT_ADMISSION = (sys.executable, "-m", "benchmarks.production.without_admission")
BURSTS = ((16, 4.0), (64, 10.0), (120, 60.0))
CALLERS = (32, 64, 128)
ROWS = 500
CONNECTIONS = 16
MODES = ("bursts", "loops", "neighbour", "idle", "storm")


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("modes", nargs="*", choices=MODES, default=list(MODES), help="default: all")
    add("--shape", choices=("embedded", "bert-large"), default="embedded")
    add("--repository", type=Path, default=Path("model_repository"), help="of the embedded shape")
    add("--starts", type=int, default=5, help="fresh servers for each burst")
    add("--texts", nargs="+", help="of the loops, the mixes whose names hold one of these")
    add("--seconds", type=float, default=20.0, help="of the neighbour and the idle frontend")
    add("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    report: dict[str, Any] = {}
    with repository_of(arguments) as repository:
        for mode in arguments.modes:
            for name, figures in asyncio.run(MEASURES[mode](arguments, repository)).items():
                report[name] = figures
                print(f"{name}: {figures}", flush=True)
    if arguments.json:
        write_result(arguments.json, arguments, report=report)


@contextlib.contextmanager
def served(
    repository: Path, *flags: str, program: Sequence[str] = SERVER
) -> Iterator[RunningServer]:
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server(repository, Path(directory) / "log", *flags, program=program) as server,
    ):
        yield server


async def bursts(arguments: argparse.Namespace, repository: Path) -> dict[str, Any]:
    """Calls that all come at once to a fresh server; medians of several starts."""
    figures = {}
    for callers, timeout in BURSTS:
        requests = squad_mix(arguments.data, callers)
        counts: dict[str, list[int]] = {}
        for start in range(arguments.starts):
            for kind, program in (("with", SERVER), ("without", WITHOUT_ADMISSION)):
                with served(repository, program=program) as server:
                    async with connected(server.target, CONNECTIONS) as stubs:
                        calls = await asyncio.gather(
                            *(
                                ask(stubs[at % CONNECTIONS], one, timeout)
                                for at, one in enumerate(requests)
                            )
                        )
                codes = Counter(call.code for call in calls)
                counts.setdefault(f"answered {kind} admission control", []).append(codes[OK])
                counts.setdefault(f"refused {kind}", []).append(codes["RESOURCE_EXHAUSTED"])
            print(f"burst of {callers}: start {start + 1}: {counts}", file=sys.stderr)
        medians = {name: statistics.median(values) for name, values in counts.items()}
        figures[f"burst of {callers}, {timeout:g} s"] = medians
    return figures


async def ask(stub: Any, request: pb.AnswerRequest, seconds: float | None) -> Asked:
    call = Asked(monotonic())
    try:
        await stub.Answer(request, timeout=seconds)
        call.code = OK
    except grpc.aio.AioRpcError as error:
        call.code, call.details = error.code().name, error.details() or ""
    call.settled = monotonic()
    return call


async def loops(arguments: argparse.Namespace, repository: Path) -> dict[str, Any]:
    """Callers who ask again when they have their answer: the raw stub, and the client."""
    figures = {}
    with served(repository) as server:
        for name, requests in lengths_mix(arguments.data, ROWS).items():
            if arguments.texts and not any(part in name for part in arguments.texts):
                continue
            for callers in CALLERS:
                begin = monotonic()
                calls = await closed_loop(server.target, requests, callers)
                figures[f"{name}, {callers} callers, stub"] = told(calls, monotonic() - begin)
                begin = monotonic()
                calls = await asyncio.to_thread(by_client, server.target, requests, callers)
                figures[f"{name}, {callers} threads, client"] = told(calls, monotonic() - begin)
                print(list(figures.items())[-2:], file=sys.stderr)
    return figures


async def closed_loop(
    target: str, requests: Sequence[pb.AnswerRequest], callers: int
) -> list[Asked]:
    left, calls = iter(requests), []

    async def keep_asking(stub: Any) -> None:
        for request in left:
            calls.append(await ask(stub, request, None))  # noqa: PERF401

    async with connected(target, min(callers, CONNECTIONS)) as stubs:
        await asyncio.gather(*(keep_asking(stubs[at % len(stubs)]) for at in range(callers)))
    return calls


def by_client(target: str, requests: Sequence[pb.AnswerRequest], threads: int) -> list[Asked]:
    """The program that people write first: a pool of threads, and one client."""

    def one(request: pb.AnswerRequest) -> Asked:
        call = Asked(monotonic())
        try:
            client.answer(request.question, request.context)
            call.code = OK
        except spanqa.SpanQAError as error:
            call.code, call.details = error.code.name, str(error)
        call.settled = monotonic()
        return call

    with spanqa.Client(target) as client, ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, requests))


def told(calls: Sequence[Asked], seconds: float) -> dict[str, Any]:
    times = sorted(call.seconds for call in calls if call.code == OK)
    return {
        "codes": dict(Counter(call.code for call in calls)),
        "answered_per_second": round(len(times) / seconds, 1),
        "p50": round(percentile(times, 50), 2),
        "p99": round(percentile(times, 99), 2),
    }


async def neighbour(arguments: argparse.Namespace, repository: Path) -> dict[str, Any]:
    """One connection with 500 calls in flight, and another with one."""
    requests = squad_mix(arguments.data, ROWS)
    with served(repository) as server:
        async with connected(server.target, 2) as (many, one):
            end = monotonic() + arguments.seconds
            heavy = [asyncio.create_task(until(end, many, requests[at:], 60)) for at in range(500)]
            await asyncio.sleep(2.0)
            light = await until(end, one, requests, 60)
            calls = [call for task in heavy for call in await task]
    return {
        "500 calls in flight": told(calls, arguments.seconds),
        "beside them, one": told(light, arguments.seconds - 2.0),
    }


async def until(
    end: float, stub: Any, requests: Sequence[pb.AnswerRequest], seconds: float
) -> list[Asked]:
    calls: list[Asked] = []
    while monotonic() < end:
        calls.append(await ask(stub, requests[len(calls) % len(requests)], seconds))
    return calls


async def idle(arguments: argparse.Namespace, repository: Path) -> dict[str, Any]:
    """Two frontends at one Triton: one under full load, bursts of 16 at the other, 4 s each."""
    requests = squad_mix(arguments.data, ROWS)
    with served(repository) as busy, served(repository, "--triton", address_of(busy)) as other:
        health: dict[str, list[tuple[str, float]]] = {"busy": [], "idle": []}
        watching = [
            asyncio.create_task(watch_health(server.target, health[name]))
            for name, server in (("busy", busy), ("idle", other))
        ]
        end = monotonic() + arguments.seconds
        async with (
            connected(busy.target, CONNECTIONS) as stubs,
            connected(other.target, 1) as [one],
        ):
            load = [
                asyncio.create_task(until(end, stubs[at % CONNECTIONS], requests, 60))
                for at in range(128)
            ]
            calls = []
            while monotonic() < end - 4.0:
                await asyncio.sleep(1.0)
                calls += await asyncio.gather(*(ask(one, each, 4.0) for each in requests[:16]))
            busy_calls = [call for task in load for call in await task]
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
    seen = {name: dict(Counter(status for status, _ in all_)) for name, all_ in health.items()}
    return {
        "busy frontend": told(busy_calls, arguments.seconds),
        "idle frontend, bursts of 16": told(calls, arguments.seconds),
        "health": seen,
    }


async def storm(arguments: argparse.Namespace, repository: Path) -> dict[str, Any]:
    """300 calls at once, 30 s each, by the client with its retries."""
    requests = squad_mix(arguments.data, 300)
    with served(repository) as server:
        before = server.metrics()
        begin = monotonic()
        calls = await asyncio.to_thread(by_client, server.target, requests, len(requests))
        seconds = monotonic() - begin
        now = server.metrics()
    attempts = sum(
        now[name] - before.get(name, 0.0)
        for name in now
        if name.startswith("spanqa_calls_total{") and 'method="Answer"' in name
    )
    return {"300 at once": told(calls, seconds) | {"attempts": attempts / len(requests)}}


MEASURES = {
    "bursts": bursts,
    "loops": loops,
    "neighbour": neighbour,
    "idle": idle,
    "storm": storm,
}

if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
