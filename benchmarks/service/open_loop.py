"""Offer a server requests at given rates, whatever it makes of them, and say how long each took.

`make load-open-loop RATES=20,40,60`. Requests are sent when a schedule says so, never because an
answer came, and the time of each counts from when it should have been sent. So a server that
falls behind shows it, which a fixed number of waiting callers would hide. One rate after the
other; each starts when all requests of the one before are settled.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks import REPOSITORY
from benchmarks.common.asking import ask_all
from benchmarks.common.report import write_result
from benchmarks.common.workload import MIXES, make_parser, positive, positive_count
from benchmarks.service.schedules import NOT_SENT, SCHEDULES, Call, Report, summary
from spanqa.v1 import question_answering_pb2 as pb
from support.processes import running_server
from support.steady import connected

WARM_UP = 64
CONNECT_SECONDS = 30.0


def main() -> None:
    """Offer every rate, print a table, write JSON."""
    arguments = parse_arguments()
    requests = MIXES[arguments.mix](arguments.data, arguments.questions, arguments.seed)
    with ExitStack() as stack:
        if not (target := arguments.target):
            log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "log"
            target = stack.enter_context(running_server(arguments.repository, log)).target
        model, reports = asyncio.run(offer_all(arguments, target, requests))
    show(arguments, model, reports)
    if arguments.json:
        served = {"name": model.name, "version": model.version, "dtype": model.dtype}
        rates = [asdict(report) for report in reports]
        write_result(arguments.json, arguments, model=served, rates=rates)


def parse_arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--target", help="host:port of a server; without it one is started for the run")
    add("--repository", type=Path, default=REPOSITORY, help="of that server")
    add("--rates", type=rates, default=[10.0, 20.0, 40.0, 60.0], help="requests a second: 20,40")
    add("--seconds", type=positive, default=20.0, help="of each rate")
    add("--arrivals", choices=tuple(SCHEDULES), default="poisson")
    add("--timeout", type=positive, default=10.0, help="of each request, seconds")
    add("--connections", type=positive_count, default=4)
    add("--max-outstanding", type=positive_count, default=2000, help="calls at a time")
    add("--mix", choices=tuple(MIXES), default="squad")
    add("--questions", type=positive_count, default=5000, help="different ones, asked in turn")
    add("--seed", type=int, default=0, help="of the questions and of the arrivals")
    add("--json", type=Path, help="write the figures there")
    return parser.parse_args(given)


def rates(text: str) -> list[float]:
    """Numbers with commas between them."""
    return [positive(part) for part in text.split(",")]


async def offer_all(
    arguments: argparse.Namespace, target: str, requests: list[pb.AnswerRequest]
) -> tuple[pb.GetModelResponse, list[Report]]:
    """Which model answered, and what came of each rate."""
    reports = []
    async with connected(target, arguments.connections) as stubs:
        try:
            for stub in stubs:  # every connection is open before a clock runs
                model: pb.GetModelResponse = await stub.GetModel(
                    pb.GetModelRequest(), wait_for_ready=True, timeout=CONNECT_SECONDS
                )
        except grpc.aio.AioRpcError as error:
            sys.exit(
                f"--target {target}: no answer in {CONNECT_SECONDS:g} s ({error.code().name}). "
                "Start a server with `make serve`, or name none, and one is started for the run."
            )
        await ask_all(target, requests[:WARM_UP], concurrency=8)
        for rate in arguments.rates:
            print(f"{rate:g} a second for {arguments.seconds:g} s", file=sys.stderr)
            due = SCHEDULES[arguments.arrivals](rate, arguments.seconds, arguments.seed)
            calls = await offer(arguments, stubs, requests, due)
            reports.append(summary(rate, arguments.seconds, calls))
    return model, reports


async def offer(
    arguments: argparse.Namespace,
    stubs: list[Any],
    requests: list[pb.AnswerRequest],
    schedule: list[float],
) -> list[Call]:
    """Every call of the schedule (seconds from the start), settled or not sent."""
    calls = [Call(due) for due in schedule]
    under_way: set[asyncio.Task[None]] = set()
    begin = perf_counter()

    async def ask(number: int, call: Call) -> None:
        stub = stubs[number % len(stubs)]
        call.sent = perf_counter() - begin
        try:
            await stub.Answer(requests[number % len(requests)], timeout=arguments.timeout)
        except grpc.aio.AioRpcError as error:
            call.code = error.code().name
        else:
            call.code = "OK"
        call.settled = perf_counter() - begin

    async with asyncio.TaskGroup() as group:
        for number, call in enumerate(calls):
            await asyncio.sleep(max(0.0, begin + call.due - perf_counter()))
            if len(under_way) < arguments.max_outstanding:
                task = group.create_task(ask(number, call))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            else:
                call.code = NOT_SENT
    return calls


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
