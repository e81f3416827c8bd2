"""What callers see when parts die, hang or lie, under load at 80 % of capacity.

`make bench-faults`. Each fault is done to a server of its own while calls with known answers come
at a steady rate; callers do not retry. Counted are calls answered, ended with another
status, hung (neither answered nor ended 5 s after the deadline), wrong (another answer than the one
known), and how long after the end of the fault calls were answered again.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import monotonic

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.common.report import write_result
from benchmarks.common.serving import load_parser
from benchmarks.common.workload import squad_mix
from support.fake_triton import Fault, fake_triton
from support.processes import RunningServer, running_server, wait_until_serving
from support.steady import HUNG, OK, WRONG, Steady, connected, learn
from support.triton import address_of, on_tcp

BEFORE_SECONDS, AFTER_SECONDS, GIVE_UP_SECONDS = 3.0, 4.0, 30.0
TWO_TRITONS = "kill -9 of one of two Tritons"
WORKERS = ("--workers", "2")


@dataclass
class Scene:
    """A server under load, and the ways to do something to it."""

    load: Steady
    server: RunningServer
    """The one whose processes are killed; calls may go to another that uses its Triton."""
    restart: Callable[[], RunningServer]
    spoil: Callable[[Fault], None] | None = None


@dataclass(frozen=True)
class Result:
    """What came of one fault."""

    name: str
    codes: dict[str, int]
    ready_again_seconds: float
    slowest_answer_seconds: float


async def kill_triton(scene: Scene) -> None:
    scene.server.triton().kill()


async def kill_worker(scene: Scene) -> None:
    children = scene.server.children()
    next(one for one in children if "spanqa_server.workers.child" in one.cmdline()).kill()


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


def spoil(fault: Fault, seconds: float) -> Action:
    async def do(scene: Scene) -> None:
        assert scene.spoil
        scene.spoil(fault)
        await asyncio.sleep(seconds)
        scene.spoil(Fault.NONE)

    return do


Action = Callable[[Scene], Awaitable[None]]
# The server's flags, whether its Triton is reached through a proxy that spoils, what is done.
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
    # The canary finds it out, every 10 s.
    f"Triton {Fault.NONSENSE} for 20 s": ((), True, spoil(Fault.NONSENSE, 20.0)),
}


def main() -> None:
    """Do each fault, print a table, write JSON."""
    parser = load_parser(__doc__, rate=76.0)
    parser.add_argument("--only", default="", help="faults whose names hold this")
    arguments = parser.parse_args()
    results = []
    for name in (one for one in (*FAULTS, TWO_TRITONS) if arguments.only in one):
        print(name, file=sys.stderr)
        results.append(asyncio.run(do_fault(name, arguments)))
    show(arguments, results)
    if arguments.json:
        write_result(arguments.json, arguments, faults=[asdict(result) for result in results])


async def do_fault(name: str, arguments: argparse.Namespace) -> Result:
    flags, proxied, action = FAULTS.get(name, ((), False, kill_triton))
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def start(log: str, *more: str, wait: bool = True) -> RunningServer:
            served = running_server(arguments.repository, directory / log, *more, wait=wait)
            return stack.enter_context(served)

        server = front = start("1", *flags)
        port = server.target.rpartition(":")[2]
        restart = partial(start, "again", *flags, "--port", port, wait=False)
        async with AsyncExitStack() as aside:
            set_fault = None
            if proxied:
                proxy = await aside.enter_async_context(fake_triton(behind=address_of(server)))
                set_fault = partial(setattr, proxy, "fault")
                front = start("front", "--triton", proxy.address, wait=False)
                await asyncio.to_thread(wait_until_serving, front)
            elif name == TWO_TRITONS:
                both = (
                    aside.enter_context(on_tcp(address_of(one))) for one in (server, start("2"))
                )
                front = start("front", "--triton", ",".join(both))
            async with loaded(front.target, arguments) as load:
                return await observe(name, Scene(load, server, restart, set_fault), action)


@asynccontextmanager
async def loaded(target: str, arguments: argparse.Namespace) -> AsyncIterator[Steady]:
    """Calls at the rate, for some seconds already."""
    known = await learn(target, squad_mix(arguments.data, 400))
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
    begin, load = monotonic(), scene.load
    await action(scene)
    ended = monotonic()
    again = await answered_since(load, ended)
    await asyncio.sleep(AFTER_SECONDS)
    load.stop()
    give_up = monotonic() + load.timeout + GIVE_UP_SECONDS
    while any(call.settled > monotonic() and call.code == HUNG for call in load.calls):
        if monotonic() > give_up:
            break
        await asyncio.sleep(0.1)
    calls = [call for call in load.calls if call.sent >= begin - load.timeout]
    slowest = max((call.seconds for call in calls if call.code == OK), default=0.0)
    return Result(name, load.codes(), again - ended, slowest)


async def answered_since(load: Steady, moment: float) -> float:
    """When the first call that was sent after a moment was answered."""
    give_up = monotonic() + 2 * GIVE_UP_SECONDS
    while monotonic() < give_up:
        times = [call.settled for call in load.calls if call.sent >= moment and call.code == OK]
        if times:
            return min(times)
        await asyncio.sleep(0.05)
    return float("inf")


def show(arguments: argparse.Namespace, results: list[Result]) -> None:
    table = Table(title=f"{arguments.rate:g} calls a second, deadline {arguments.timeout:g} s")
    table.add_column("fault")
    for column in ("calls", "answered", "hung", "wrong", "slowest answer, s", "answered after, s"):
        table.add_column(column, justify="right")
    table.add_column("ended with")
    for result in results:
        codes = dict(result.codes)
        total = sum(codes.values())
        counts = [str(codes.pop(code, 0)) for code in (OK, HUNG, WRONG)]
        table.add_row(
            result.name,
            *(str(total), *counts),
            f"{result.slowest_answer_seconds:.1f}",
            f"{result.ready_again_seconds:.1f}",
            ", ".join(f"{code} {count}" for code, count in codes.items()),
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
