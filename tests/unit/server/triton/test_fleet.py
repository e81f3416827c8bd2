"""Several Tritons: calls in turn, again elsewhere when one goes, none to those that are out."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from spanqa_server.errors import ModelUnavailableError, StartupError
from spanqa_server.triton.client import VersionInference
from spanqa_server.triton.fleet import Fleet, resolve, target_of
from support.fake_triton import FakeTriton, echo, fake_triton, hang, refuse
from support.triton import inference, make_windows

PACKED = make_windows(1, [9])


@pytest.fixture
async def other() -> AsyncIterator[FakeTriton]:
    async with fake_triton() as fake:
        yield fake


@pytest.fixture
async def model(triton: FakeTriton, other: FakeTriton) -> AsyncIterator[VersionInference]:
    """On both."""
    async with asyncio.timeout(20), inference(triton.address, other.address) as model:
        yield model


def unknown(*arguments: object, **options: object) -> None:
    raise socket.gaierror(-2, "Name or service not known")


async def ask(model: VersionInference, times: int) -> None:
    for _ in range(times):
        await model.infer(PACKED)


async def ask_until_asked(model: VersionInference, *tritons: FakeTriton) -> None:
    """Until each has been asked anew, which takes as long as its connection does."""
    for triton in tritons:
        triton.asked.clear()
    async with asyncio.timeout(20):
        while not all(triton.asked.is_set() for triton in tritons):
            await model.infer(PACKED)


async def test_calls_go_in_turn_to_those_that_are_in_use(
    triton: FakeTriton, other: FakeTriton, model: VersionInference
) -> None:
    async def asked(times: int) -> tuple[int, int]:
        triton.requests.clear()
        other.requests.clear()
        await ask(model, times)
        return len(triton.requests), len(other.requests)

    use = model.triton.fleet.use
    await ask_until_asked(model, triton, other)
    assert await asked(6) == (3, 3)
    await use([triton.address])
    await ask_until_asked(model, triton)
    assert await asked(6) == (6, 0)
    await model.triton.probe(PACKED, "1", other.address)
    assert len(other.requests) == 1, "it is asked by its address all the same"
    await use([triton.address, other.address])
    await ask_until_asked(model, triton, other)
    await use([])  # where none is well, all are used
    await ask_until_asked(model, triton, other)
    assert await asked(6) == (3, 3)


async def test_calls_at_one_that_goes_away_are_answered_by_the_other(
    triton: FakeTriton, other: FakeTriton, model: VersionInference
) -> None:
    await ask_until_asked(model, triton, other)
    other.asked.clear()
    other.infer = hang
    calls = [asyncio.create_task(model.infer(PACKED)) for _ in range(8)]
    async with asyncio.timeout(20):
        await other.asked.wait()
        await other.stop()
        await asyncio.gather(*calls)
        await ask(model, 8)


async def test_calls_under_way_at_one_that_goes_out_go_on(
    triton: FakeTriton, other: FakeTriton, model: VersionInference
) -> None:
    go_on = asyncio.Event()

    async def slow(request: Any, context: Any) -> Any:
        await go_on.wait()
        return await echo(request, context)

    triton.infer = slow
    calls = [
        asyncio.create_task(model.triton.probe(PACKED, "1", triton.address)),
        *(asyncio.create_task(model.infer(PACKED)) for _ in range(4)),
    ]
    async with asyncio.timeout(20):
        await triton.asked.wait()
        await model.triton.fleet.use([other.address])
        go_on.set()
        await asyncio.gather(*calls)


async def test_tries_end_with_the_call(triton: FakeTriton) -> None:
    triton.infer = refuse(grpc.StatusCode.UNAVAILABLE, "not now")
    async with inference(triton.address) as model:
        call = asyncio.create_task(model.infer(PACKED))
        await triton.asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        tried = len(triton.requests)
        with pytest.raises(ModelUnavailableError):
            await model.infer(PACKED)
        assert len(triton.requests) == tried + 4, "nothing was left of the call before"


@pytest.mark.parametrize(
    ("places", "target"),
    [
        ([("10.0.0.1", 1), ("10.0.0.2", 2)], "ipv4:10.0.0.1:1,10.0.0.2:2"),
        ([("fd00::1", 1), ("fd00::2", 2)], "ipv6:[fd00::1]:1,[fd00::2]:2"),
        ([("10.0.0.1", 1), ("fd00::2", 2)], "ipv6:[::ffff:10.0.0.1]:1,[fd00::2]:2"),
    ],
)
def test_addresses_of_both_versions(places: list[tuple[str, int]], target: str) -> None:
    assert target_of(places) == target


async def test_tritons_at_addresses_of_version_6(triton: FakeTriton) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    async with fake_triton("[::1]") as one:
        async with inference(one.address) as model:
            await ask(model, 1)
        async with inference(one.address, triton.address) as model:
            await ask_until_asked(model, one, triton)


async def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("127.0.0.1:1") == [("127.0.0.1", 1)]
    assert resolve("[::1]:1") == [("::1", 1)]
    assert ("127.0.0.1", 1) in resolve("localhost:1")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StartupError, match=r"^--triton b:2: Name or service not known$"):
        Fleet(["b:2", "c:3"])
    alone = Fleet(["b:2"])  # left to gRPC
    await alone.close()


async def test_a_name_that_leads_nowhere_any_more_is_where_it_was(
    triton: FakeTriton,
    other: FakeTriton,
    model: VersionInference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await model.triton.fleet.use([triton.address])
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    await model.triton.fleet.use([triton.address, other.address])
    monkeypatch.undo()
    await ask_until_asked(model, triton, other)
