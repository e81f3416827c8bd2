"""SIGTERM under load, again and again: whether calls are lost, and whether every process ends.

`make bench-endings`. Callers do what load balancers do: they follow the health service, and send no
more calls to a server that says NOT_SERVING. Whatever was sent until then must be answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections import Counter
from dataclasses import asdict, dataclass
from time import monotonic

import psutil
from rich.progress import track

from benchmarks.common.report import write_result
from benchmarks.common.serving import load_parser, served
from benchmarks.common.workload import squad_mix
from spanqa.v1 import question_answering_pb2 as pb
from support import health
from support.processes import RunningServer
from support.steady import Known, Steady, connected, learn

LOAD_SECONDS, LATER_SECONDS = 2.0, 0.5


@dataclass(frozen=True)
class Ending:
    """What came of one SIGTERM."""

    workers: int
    codes: dict[str, int]
    sent_after_signal: int
    told_seconds: float
    """From the signal to NOT_SERVING."""
    ended_seconds: float
    exit_code: int
    left: list[str]
    """Processes that did not end."""


def main() -> None:
    """End a server so many times, half of them with two workers; print and write what came."""
    parser = load_parser(__doc__, rate=76.0)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--drain", type=float, default=2.0, help="--drain-seconds of the server")
    arguments = parser.parse_args()
    requests = squad_mix(arguments.data, 200)
    known: list[Known] = []
    endings = [
        asyncio.run(end_once(arguments, 1 + number % 2, requests, known))
        for number in track(range(arguments.times), "endings")
    ]
    codes = sum((Counter(ending.codes) for ending in endings), Counter[str]())
    later = sum(ending.sent_after_signal for ending in endings)
    print(f"calls: {dict(codes)}, of which after the signal: {later}")
    print(f"exit codes: {dict(Counter(ending.exit_code for ending in endings))}")
    ended = sorted(ending.ended_seconds for ending in endings)
    print(f"ended after {ended[0]:.2f} to {ended[-1]:.2f} s (drain {arguments.drain:g} s)")
    print(f"NOT_SERVING after {max(one.told_seconds for one in endings):.3f} s at most")
    print(f"processes left: {[name for one in endings for name in one.left]}")
    if arguments.json:
        write_result(arguments.json, arguments, endings=[asdict(one) for one in endings])


async def end_once(
    arguments: argparse.Namespace,
    workers: int,
    requests: list[pb.AnswerRequest],
    known: list[Known],
) -> Ending:
    flags = ("--workers", str(workers), "--drain-seconds", str(arguments.drain))
    with served(arguments.repository, *flags) as server:
        server.wait_for_metrics(lambda _: server.log.read_text().count(" serving ") >= workers)
        known[:] = known or await learn(server.target, requests)
        async with connected(server.target, 8) as stubs:
            load = Steady(stubs, known, arguments.rate, arguments.timeout)
            running = asyncio.create_task(load.run())
            await asyncio.sleep(LOAD_SECONDS)
            processes = [psutil.Process(server.process.pid), *server.children()]
            begin = monotonic()
            ended = asyncio.create_task(asyncio.to_thread(terminate, server))
            with contextlib.suppress(Exception):  # it may end before it says so
                await health.told(server, serving=False)
            told = monotonic()
            await asyncio.sleep(LATER_SECONDS)  # balancers need a while to hear of it
            load.stop()
            await running
            ended_at = await ended
        left = [one.name() for one in psutil.wait_procs(processes, timeout=0)[1]]
    after = sum(call.sent >= begin for call in load.calls)
    code = server.process.returncode
    return Ending(workers, load.codes(), after, told - begin, ended_at - begin, code, left)


def terminate(server: RunningServer) -> float:
    """Send SIGTERM; returns when the server has ended."""
    with contextlib.suppress(Exception):
        server.stop(signal.SIGTERM, within=60)
    return monotonic()


if __name__ == "__main__":
    main()
