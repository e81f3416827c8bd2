"""Offer a server requests at given rates, whatever it makes of them, and say how long each took.

`make load-open-loop RATES=20,40,60`. Requests are sent when a schedule says so, never because an
answer came, and the time of each counts from when it should have been sent. So a server that
falls behind shows it, which a fixed number of waiting callers would hide. One rate after the
other; each starts when all requests of the one before are settled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from rich.console import Console  # noqa: E402
from rich.progress import Progress, TaskID  # noqa: E402
from rich.table import Table  # noqa: E402

from asking import ask_all, connected  # noqa: E402
from machine import machine  # noqa: E402
from schedules import NOT_SENT, SCHEDULES, Call, Report, summary  # noqa: E402
from spanqa.v1 import question_answering_pb2 as pb  # noqa: E402
from support.processes import running_server  # noqa: E402
from workload import MIXES, add_data_option, positive, positive_count  # noqa: E402

WARM_UP = 64
CONNECT_SECONDS = 30.0
TOLD = ("arrivals", "seconds", "timeout", "connections", "max_outstanding", "mix", "seed")


def main() -> None:
    """Offer every rate, print a table, write JSON."""
    arguments = parse_arguments()
    requests = MIXES[arguments.mix](arguments.data, arguments.questions, arguments.seed)
    with server_of(arguments) as target:
        model, reports = asyncio.run(offer_all(arguments, target, requests))
    show(arguments, model, reports)
    if arguments.json:
        result = {
            "machine": machine(),
            "model": {"name": model.name, "version": model.version, "dtype": model.dtype},
            "arguments": {name: getattr(arguments, name) for name in TOLD},
            "rates": [asdict(report) for report in reports],
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    add = parser.add_argument
    add("--target", help="host:port of a server; one is started where none is named")
    add("--repository", type=Path, default=ROOT / "model_repository", help="of that server")
    add("--rates", type=rates, default=[10.0, 20.0, 40.0, 60.0], help="requests a second: 20,40")
    add("--seconds", type=positive, default=20.0, help="of each rate")
    add("--arrivals", choices=tuple(SCHEDULES), default="poisson")
    add("--timeout", type=positive, default=10.0, help="of each request, seconds")
    add("--connections", type=positive_count, default=4)
    add("--max-outstanding", type=positive_count, default=2000, help="more are not sent, but told")
    add("--mix", choices=tuple(MIXES), default="squad")
    add("--questions", type=positive_count, default=5000, help="different ones, asked in turn")
    add("--seed", type=int, default=0, help="of the questions and of the arrivals")
    add("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    if arguments.json and not arguments.json.parent.is_dir():
        parser.error(f"argument --json: there is no directory {arguments.json.parent}")
    return arguments


def rates(text: str) -> list[float]:
    """Numbers with commas between them."""
    return [positive(part) for part in text.split(",")]


@contextlib.contextmanager
def server_of(arguments: argparse.Namespace) -> Iterator[str]:
    """The address to ask: the one named, or that of a server started for the run."""
    if arguments.target:
        yield arguments.target
        return
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server(arguments.repository, Path(directory) / "log") as server,
    ):
        yield server.target


async def offer_all(
    arguments: argparse.Namespace, target: str, requests: list[pb.AnswerRequest]
) -> tuple[pb.GetModelResponse, list[Report]]:
    """Which model answered, and what came of each rate."""
    reports = []
    async with connected(target, arguments.connections) as stubs:
        model = await meet(target, stubs)
        await ask_all(target, requests[:WARM_UP], concurrency=8)
        with Progress(console=Console(stderr=True), refresh_per_second=2) as progress:
            for rate in arguments.rates:
                offered = SCHEDULES[arguments.arrivals](rate, arguments.seconds, arguments.seed)
                bar = progress.add_task(f"{rate:g} a second", total=len(offered))
                load = Load(arguments, stubs, requests, progress, bar)
                reports.append(summary(rate, arguments.seconds, await load.offer(offered)))
    return model, reports


async def meet(target: str, stubs: list[Any]) -> pb.GetModelResponse:
    """Open every connection before a clock runs."""
    try:
        for stub in stubs:
            model: pb.GetModelResponse = await stub.GetModel(
                pb.GetModelRequest(), wait_for_ready=True, timeout=CONNECT_SECONDS
            )
    except grpc.aio.AioRpcError as error:
        sys.exit(
            f"--target {target}: no answer in {CONNECT_SECONDS:g} s ({error.code().name}). "
            "Start a server with `make serve`, or name none, and one is started for the run."
        )
    return model


class Load:
    """One rate: sends what a schedule says, never more than so many calls at a time."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        stubs: list[Any],
        requests: list[pb.AnswerRequest],
        progress: Progress,
        bar: TaskID,
    ) -> None:
        self._timeout: float = arguments.timeout
        self._most: int = arguments.max_outstanding
        self._stubs = stubs
        self._requests = requests
        self._progress = progress
        self._bar = bar
        self._begin = 0.0

    async def offer(self, schedule: list[float]) -> list[Call]:
        """Every call of the schedule (seconds from the start), settled or not sent."""
        calls = [Call(due) for due in schedule]
        under_way: set[asyncio.Task[None]] = set()
        self._begin = perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, call in enumerate(calls):
                await asyncio.sleep(max(0.0, call.due - self._now()))
                if len(under_way) < self._most:
                    task = group.create_task(self._ask(number, call))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                else:
                    call.code = NOT_SENT
                self._progress.advance(self._bar)
        return calls

    async def _ask(self, number: int, call: Call) -> None:
        request = self._requests[number % len(self._requests)]
        stub = self._stubs[number % len(self._stubs)]
        call.sent = self._now()
        try:
            await stub.Answer(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            call.code = error.code().name
        else:
            call.code = "OK"
        call.settled = self._now()

    def _now(self) -> float:
        return perf_counter() - self._begin


def show(arguments: argparse.Namespace, model: pb.GetModelResponse, reports: list[Report]) -> None:
    table = Table(
        title=f"{model.name} {model.version}, {model.dtype}, {arguments.mix}: {arguments.arrivals} "
        f"arrivals, {arguments.seconds:g} s a rate, {arguments.connections} connections; ms from "
        "the scheduled time, over all requests"
    )
    for column in ("rate", "offered/s", "answered/s", *reports[0].seconds, "most at a time"):
        table.add_column(column, justify="right")
    table.add_column("statuses")
    table.add_column("sent late, ms", justify="right")
    for report in reports:
        table.add_row(
            f"{report.rate:g}",
            f"{report.offered_per_second:.1f}",
            f"{report.answered_per_second:.1f}",
            *("–" if s is None else f"{s * 1e3:.0f}" for s in report.seconds.values()),
            str(report.most_outstanding),
            ", ".join(f"{code} {count}" for code, count in report.codes.items()),
            f"{report.latest_send_seconds * 1e3:.0f}",
        )
    Console(width=160).print(table)
    if any(NOT_SENT in report.codes for report in reports):
        print(
            f"{NOT_SENT}: {arguments.max_outstanding} calls were under way already; these requests "
            "count as never answered. Allow more with --max-outstanding."
        )


if __name__ == "__main__":
    main()
