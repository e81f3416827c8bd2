"""SIGTERM under load, again and again: are calls lost, and does everything end.

`make bench-endings`. Callers do what balancers do: they follow the health service, and send no
more calls to a server that says NOT_SERVING. Whatever was sent until then must be answered.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from rich.progress import track  # noqa: E402

from report import write_result  # noqa: E402
from spanqa.v1 import question_answering_pb2 as pb  # noqa: E402
from support.processes import RunningServer, running_server  # noqa: E402
from support.steady import Known, Steady, connected, learn  # noqa: E402
from workload import add_data_option, squad_mix  # noqa: E402

SERVING = health_pb2.HealthCheckResponse.SERVING
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


def main() -> None:
    """End a server so many times, half of them with two workers; print and write what came."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--rate", type=float, default=76.0, help="calls a second")
    parser.add_argument("--timeout", type=float, default=10.0, help="deadline of each call, s")
    parser.add_argument("--drain", type=float, default=2.0, help="--drain-seconds")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    requests = squad_mix(arguments.data, 200)
    known: list[Known] = []
    endings = [
        asyncio.run(end_once(arguments, 1 + number % 2, requests, known))
        for number in track(range(arguments.times), "endings")
    ]
    codes: Counter[str] = Counter()
    for ending in endings:
        codes.update(ending.codes)
    print(f"calls: {dict(codes)}, of which after the signal: {total(endings)}")
    print(f"exit codes: {dict(Counter(ending.exit_code for ending in endings))}")
    ended = sorted(ending.ended_seconds for ending in endings)
    print(f"ended after {ended[0]:.2f} to {ended[-1]:.2f} s (drain {arguments.drain:g} s)")
    print(f"NOT_SERVING after {max(one.told_seconds for one in endings):.3f} s at most")
    print(f"processes left: {[name for one in endings for name in one.left]}")
    if arguments.json:
        del arguments.repository
        write_result(arguments.json, arguments, endings=[asdict(one) for one in endings])


def total(endings: list[Ending]) -> int:
    return sum(ending.sent_after_signal for ending in endings)


async def end_once(
    arguments: argparse.Namespace,
    workers: int,
    requests: list[pb.AnswerRequest],
    known: list[Known],
) -> Ending:
    flags = ("--workers", str(workers), "--drain-seconds", str(arguments.drain))
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server(arguments.repository, Path(directory) / "log", *flags) as server,
    ):
        server.wait_for_metrics(lambda _: server.log.read_text().count(" serving ") >= workers)
        known[:] = known or await learn(server.target, requests)
        async with connected(server.target, 8) as stubs:
            load = Steady(stubs, known, arguments.rate, arguments.timeout)
            running = asyncio.create_task(load.run())
            await asyncio.sleep(LOAD_SECONDS)
            processes = [psutil.Process(server.process.pid), *server.children()]
            begin = monotonic()
            ended = asyncio.create_task(asyncio.to_thread(wait_for_end, server))
            told = await follow(server, begin)
            await asyncio.sleep(LATER_SECONDS)  # balancers need a while to hear of it
            load.stop()
            await running
            ended_at = await ended
        left = [one.name() for one in psutil.wait_procs(processes, timeout=0)[1]]
    after = sum(call.sent >= begin for call in load.calls)
    code = server.process.returncode
    return Ending(workers, load.codes(), after, told - begin, ended_at - begin, code, left)


def wait_for_end(server: RunningServer) -> float:
    server.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(Exception):
        server.process.wait(60)
    return monotonic()


async def follow(server: RunningServer, begin: float) -> float:
    """When the server first says NOT_SERVING, or ends."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for update in stub.Watch(health_pb2.HealthCheckRequest()):
                if update.status != SERVING:
                    return monotonic()
    return monotonic()


if __name__ == "__main__":
    main()
