"""What callers and operators see when parts die, under load at 80 % of capacity.

`make bench-faults`. Each fault is done to servers of its own while calls with known answers
come at a steady rate; nothing is tried again by the callers. Told are: calls answered, refused and
with which status, hung (neither answered nor ended 5 s after the deadline), wrong (another answer
than the one known), and how long after the fault's end calls were answered again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import monotonic

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from report import write_result  # noqa: E402
from support.faulty_triton import Fault, faulty_triton  # noqa: E402
from support.processes import RunningServer, running_server  # noqa: E402
from support.steady import HUNG, OK, WRONG, Steady, connected, learn  # noqa: E402
from support.triton import address_of  # noqa: E402
from workload import add_data_option, squad_mix  # noqa: E402

SERVING = health_pb2.HealthCheckResponse.SERVING
BEFORE_SECONDS, AFTER_SECONDS, GIVE_UP_SECONDS = 3.0, 4.0, 30.0


@dataclass
class Scene:
    """A server under load that something is done to."""

    load: Steady
    server: RunningServer
    target: str
    restart: Callable[[], None]
    fault: Callable[[Fault], None]


@dataclass(frozen=True)
class Result:
    """What came of one fault."""

    name: str
    codes: dict[str, int]
    ready_again_seconds: float
    slowest_answer_seconds: float

    @property
    def calls(self) -> int:
        return sum(self.codes.values())


async def kill_triton(scene: Scene) -> None:
    scene.server.triton().kill()


async def kill_worker(scene: Scene) -> None:
    workers(scene.server)[0].kill()


async def kill_parent(scene: Scene) -> None:
    """And start the server again on its port, as whatever supervises it would."""
    left = scene.server.children()
    scene.server.process.kill()
    scene.server.process.wait()
    await asyncio.to_thread(psutil.wait_procs, left, timeout=10)
    scene.restart()


async def stop_triton(scene: Scene) -> None:
    triton = scene.server.triton()
    triton.send_signal(signal.SIGSTOP)
    await asyncio.sleep(5)
    triton.send_signal(signal.SIGCONT)


def spoil(fault: Fault, seconds: float) -> Callable[[Scene], Awaitable[None]]:
    async def do(scene: Scene) -> None:
        scene.fault(fault)
        await asyncio.sleep(seconds)
        scene.fault(Fault.NONE)

    return do


def workers(server: RunningServer) -> list[psutil.Process]:
    return [one for one in server.children() if "spanqa_server.workers.child" in " ".join(one.cmdline())]


Action = Callable[[Scene], Awaitable[None]]
WORKERS = ("--workers", "2")
# Name, flags of the server, whether Triton is behind a spoilt way, what is done.
FAULTS: dict[str, tuple[tuple[str, ...], bool, Action]] = {
    "kill -9 of Triton": ((), False, kill_triton),
    "kill -9 of one of two workers": (WORKERS, False, kill_worker),
    "kill -9 of the parent of two workers": (WORKERS, False, kill_parent),
    "kill -9 of the only process": ((), False, kill_parent),
    "Triton stopped for 5 s (SIGSTOP)": ((), False, stop_triton),
    **{
        f"Triton {fault} for 5 s": ((), True, spoil(fault, 5.0))
        for fault in (Fault.REFUSES, Fault.HANGS, Fault.HANGS_AT_INFERENCE, Fault.SHAPES)
    },
    # A trial question shows it, every 10 s.
    f"Triton {Fault.NONSENSE} for 20 s": ((), True, spoil(Fault.NONSENSE, 20.0)),
}
TWO_TRITONS = "kill -9 of one of two Tritons"


def main() -> None:
    """Do each fault, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument(
        "--rate", type=float, default=76.0, help="calls a second: 80 %% of capacity"
    )
    parser.add_argument("--timeout", type=float, default=10.0, help="deadline of each call, s")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    parser.add_argument("--only", default="", help="faults whose names hold this")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = [name for name in (*FAULTS, TWO_TRITONS) if arguments.only in name]
    results = []
    for name in names:
        print(name, file=sys.stderr)
        results.append(asyncio.run(do_fault(name, arguments)))
    show(arguments, results)
    if arguments.json:
        del arguments.repository
        write_result(arguments.json, arguments, faults=[asdict(result) for result in results])


async def do_fault(name: str, arguments: argparse.Namespace) -> Result:
    if name == TWO_TRITONS:
        return await kill_one_of_two(name, arguments)
    flags, behind, action = FAULTS[name]
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_server(arguments.repository, directory / "1", *flags))
        port = server.target.rpartition(":")[2]

        def restart() -> None:
            flags_again = (*flags, "--port", port)
            log = directory / "2"
            stack.enter_context(running_server(arguments.repository, log, *flags_again, wait=False))

        async with contextlib.AsyncExitStack() as aside:
            target = server.target
            fault: Callable[[Fault], None] = no_fault
            if behind:
                proxy = await aside.enter_async_context(faulty_triton(address_of(server)))
                front = stack.enter_context(
                    running_server(
                        arguments.repository, directory / "3", "--triton", proxy.address, wait=False
                    )
                )
                await ready(front.target)
                target = front.target

                fault = partial(setattr, proxy, "fault")

            async with loaded(target, arguments) as load:
                return await observe(name, Scene(load, server, target, restart, fault), action)


def no_fault(fault: Fault) -> None:
    """There is no way to spoil."""


@contextlib.asynccontextmanager
async def loaded(target: str, arguments: argparse.Namespace) -> AsyncIterator[Steady]:
    """Calls at the rate, for some seconds already."""
    requests = squad_mix(arguments.data, 400)
    known = await learn(target, requests)
    async with connected(target, 8) as stubs:
        load = Steady(stubs, known, arguments.rate, arguments.timeout)
        running = asyncio.create_task(load.run())
        await asyncio.sleep(BEFORE_SECONDS)
        try:
            yield load
        finally:
            load.stop()
            await running


async def observe(name: str, scene: Scene, action: Action) -> Result:
    """Do it, wait until calls are answered again, and a while more."""
    begin = monotonic()
    await action(scene)
    ended = monotonic()
    await ready(scene.target)
    again = await answered_since(scene.load, ended)
    await asyncio.sleep(AFTER_SECONDS)
    scene.load.stop()
    give_up = monotonic() + scene.load.timeout + GIVE_UP_SECONDS
    while any(call.settled > monotonic() and call.code == HUNG for call in scene.load.calls):
        if monotonic() > give_up:
            break
        await asyncio.sleep(0.1)
    calls = [call for call in scene.load.calls if call.sent >= begin - scene.load.timeout]
    slowest = max((call.seconds for call in calls if call.code == OK), default=0.0)
    return Result(name, scene.load.codes(), again - ended, slowest)


async def ready(target: str) -> None:
    """Return when the health service says SERVING."""
    give_up = monotonic() + GIVE_UP_SECONDS
    options = [("grpc.use_local_subchannel_pool", 1)]
    while monotonic() < give_up:
        async with grpc.aio.insecure_channel(target, options) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            with contextlib.suppress(grpc.aio.AioRpcError):
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
                if answer.status == SERVING:
                    return
        await asyncio.sleep(0.05)


async def answered_since(load: Steady, moment: float) -> float:
    """When the first call that was sent after a moment was answered."""
    give_up = monotonic() + GIVE_UP_SECONDS
    while monotonic() < give_up:
        times = [call.settled for call in load.calls if call.sent >= moment and call.code == OK]
        if times:
            return min(times)
        await asyncio.sleep(0.05)
    return float("inf")


async def kill_one_of_two(name: str, arguments: argparse.Namespace) -> Result:
    """Tritons of two servers, and a third server that uses both."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        one, other = (
            stack.enter_context(running_server(arguments.repository, directory / number))
            for number in "12"
        )
        both = ("--triton", f"{address_of(one)},{address_of(other)}")
        front = stack.enter_context(running_server(arguments.repository, directory / "3", *both))

        async def kill(scene: Scene) -> None:
            one.triton().kill()

        async with loaded(front.target, arguments) as load:
            scene = Scene(load, front, front.target, lambda: None, no_fault)
            return await observe(name, scene, kill)


def show(arguments: argparse.Namespace, results: list[Result]) -> None:
    table = Table(title=f"{arguments.rate:g} calls a second, deadline {arguments.timeout:g} s")
    table.add_column("fault")
    for column in ("calls", "answered", "hung", "wrong", "slowest answer, s", "ready again, s"):
        table.add_column(column, justify="right")
    table.add_column("refused")
    for result in results:
        codes = dict(result.codes)
        counts = [str(codes.pop(code, 0)) for code in (OK, HUNG, WRONG)]
        table.add_row(
            result.name,
            str(result.calls),
            *counts,
            f"{result.slowest_answer_seconds:.1f}",
            f"{result.ready_again_seconds:.1f}",
            ", ".join(f"{code} {count}" for code, count in codes.items()),
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
