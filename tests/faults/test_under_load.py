"""Parts die, hang or lie while calls come: each call ends, none with another answer."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from support.fake_triton import FakeTriton, Fault, fake_triton
from support.health import told, tritons_out
from support.processes import RunningServer, poll, running_server, stopped, wait_until_serving
from support.steady import HUNG, OK, WRONG, Known, Steady, connected, learn
from support.triton import address_of, on_tcp

# Calls a second, at most; and what part of the time one caller alone would be served for them, so
# that the rest of the machine has room for what piles up while a part is away.
RATE, SHARE, TIMEOUT = 20.0, 0.3, 10.0
REQUESTS = [
    pb.AnswerRequest(
        question=question, context=f"Marie Curie was born in Warsaw in 1867. {rain}" * times
    )
    for question in ("Where was Curie born?", "When was Curie born?", "Who was born in 1867?")
    for rain in ("", "The rain fell all day. ")
    for times in (1, 4, 20)
]


# A first batch as for a GPU takes seconds on a CPU.
ONE_WINDOW = ("--first-batch-tokens", "0")


@asynccontextmanager
async def load(server: RunningServer) -> AsyncIterator[Steady]:
    """Calls all through the block, some of them before it; at its end all have ended."""
    known, rate = await learn_with_rate(server)
    async with connected(server.target, 4) as stubs:
        calls = Steady(stubs, known, rate, TIMEOUT)
        running = asyncio.create_task(calls.run())
        try:
            await answered(calls, 5)
            yield calls
        finally:
            calls.stop()
            await running
    assert not {HUNG, WRONG} & calls.codes().keys(), calls.codes()


async def learn_with_rate(server: RunningServer) -> tuple[list[Known], float]:
    begin = monotonic()
    known = await learn(server.target, REQUESTS)
    seconds = (monotonic() - begin) / len(REQUESTS)
    return known, min(RATE, SHARE / seconds)


async def answered(calls: Steady, more: int) -> None:
    """Wait until so many calls that are sent from now on are answered."""
    begin = len(calls.calls)
    await until(lambda: sum(call.code == OK for call in calls.calls[begin:]) >= more)


async def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    await asyncio.to_thread(poll, condition, within, "what the test waits for")


@pytest.fixture
async def spoilt(
    server: RunningServer, model_repository: Path, tmp_path: Path
) -> AsyncIterator[tuple[RunningServer, FakeTriton]]:
    """A server, and the way to its Triton."""
    async with fake_triton(behind=address_of(server)) as triton:
        flags = ("--triton", triton.address, *ONE_WINDOW)
        with running_server(model_repository, tmp_path / "log", *flags, wait=False) as front:
            await told(front, serving=True)
            yield front, triton


@pytest.mark.parametrize(
    ("fault", "codes"),
    [
        (Fault.REFUSES, {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}),
        (Fault.SHAPES, {"INTERNAL", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}),
    ],
)
async def test_a_triton_that_refuses_or_gives_garbage(
    spoilt: tuple[RunningServer, FakeTriton], fault: Fault, codes: set[str]
) -> None:
    server, triton = spoilt
    async with load(server) as calls:
        triton.fault = fault
        # At once by what readiness says, or by the next canary.
        await told(server, serving=False, within=15)
        # Calls are tried again for a moment: a fault that is over by then fails none.
        await until(lambda: bool(calls.codes().keys() - {OK, HUNG}))
        triton.fault = Fault.NONE
        await told(server, serving=True, within=10)
        await answered(calls, 10)
    failed = calls.codes().keys() - {OK}
    assert failed
    assert failed <= codes


async def test_a_triton_that_computes_nonsense_is_out(
    spoilt: tuple[RunningServer, FakeTriton],
) -> None:
    server, triton = spoilt
    triton.fault = Fault.NONSENSE
    await told(server, serving=False, within=15)
    async with connected(server.target, 1) as [stub]:
        for request in REQUESTS:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.Answer(request, timeout=TIMEOUT)
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    triton.fault = Fault.NONE
    await told(server, serving=True, within=10)
    async with load(server):
        pass


async def test_a_triton_that_computes_nonsense_is_out_of_a_busy_and_of_an_idle_frontend(
    spoilt: tuple[RunningServer, FakeTriton], model_repository: Path, tmp_path: Path
) -> None:
    busy, triton = spoilt
    flags = ("--triton", triton.address, *ONE_WINDOW)
    with running_server(model_repository, tmp_path / "idle", *flags, wait=False) as idle:
        await told(idle, serving=True)
        known, rate = await learn_with_rate(busy)
        async with connected(busy.target, 4) as stubs:
            calls = Steady(stubs, known, rate, TIMEOUT)
            running = asyncio.create_task(calls.run())
            try:
                await answered(calls, 5)
                triton.fault = Fault.NONSENSE
                both = (told(one, serving=False, within=15) for one in (busy, idle))
                await asyncio.gather(*both)
                triton.fault = Fault.NONE
                await asyncio.gather(*(told(one, serving=True) for one in (busy, idle)))
            finally:
                calls.stop()
                await running
    assert HUNG not in calls.codes()


@pytest.fixture
def two_tritons(
    server: RunningServer, model_repository: Path, tmp_path: Path
) -> Iterator[tuple[RunningServer, RunningServer]]:
    """A server on two Tritons, and the server that one of them belongs to."""
    with (
        running_server(model_repository, tmp_path / "other") as other,
        on_tcp(address_of(other)) as first,
        on_tcp(address_of(server)) as second,
        running_server(
            model_repository, tmp_path / "log", "--triton", f"{first},{second}", *ONE_WINDOW
        ) as front,
    ):
        yield front, other


async def test_one_of_two_tritons_is_killed(
    two_tritons: tuple[RunningServer, RunningServer],
) -> None:
    front, other = two_tritons
    async with load(front) as calls:
        other.triton().kill()
        await tritons_out(front, 1)
        await answered(calls, 40)
        await asyncio.to_thread(wait_until_serving, other)
        await tritons_out(front, 0)
        await answered(calls, 20)
    assert calls.codes().keys() == {OK}


async def test_one_of_two_tritons_is_stopped(
    two_tritons: tuple[RunningServer, RunningServer],
) -> None:
    front, other = two_tritons
    async with load(front) as calls:
        with stopped(other.triton()):
            await tritons_out(front, 1)
            out = len(calls.calls)
            await answered(calls, 40)
    assert all(call.code == OK for call in calls.calls[out:])


async def test_a_worker_and_its_parent_are_killed(model_repository: Path, tmp_path: Path) -> None:
    with running_server(model_repository, tmp_path / "log", "--workers", "2") as server:
        async with load(server) as calls:
            server.workers()[0].kill()
            await answered(calls, 40)
            left = server.children()
            server.process.kill()
            alive = (await asyncio.to_thread(psutil.wait_procs, left, 8))[1]
            assert alive == [], "who was killed had no time to end them"
        codes = calls.codes()
    # gRPC cancels what comes just as a server ends.
    assert codes.keys() - {OK} <= {"UNAVAILABLE", "CANCELLED"}


async def test_the_end_under_load(model_repository: Path, tmp_path: Path) -> None:
    drain = ("--drain-seconds", "3")
    with running_server(model_repository, tmp_path / "log", *drain) as server:
        processes = server.children()
        async with load(server) as calls:
            server.process.send_signal(signal.SIGTERM)
            await told(server, serving=False)
            await answered(calls, 5)
        assert await asyncio.to_thread(server.process.wait, 8) == 0
    assert calls.codes().keys() == {OK}
    assert [one for one in processes if one.is_running()] == []


async def test_a_second_signal_ends_at_once(model_repository: Path, tmp_path: Path) -> None:
    drain = ("--drain-seconds", "60")
    with running_server(model_repository, tmp_path / "log", *drain) as server:
        processes = server.children()
        server.process.send_signal(signal.SIGTERM)
        await told(server, serving=False)
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.process.wait, 5) == 128 + signal.SIGTERM
        assert (await asyncio.to_thread(psutil.wait_procs, processes, 8))[1] == []
