"""Several Tritons: calls in turn, again elsewhere when one goes, none to those that are out."""

import asyncio
import socket

import grpc
import pytest

from spanqa_server.errors import ModelUnavailableError, StartupError
from spanqa_server.triton.client import Triton, VersionInference
from spanqa_server.triton.fleet import Fleet, resolve, target_of
from unit.server.triton.fake_triton import (
    LIMITS,
    FakeTriton,
    connected,
    hang,
    pack,
    reaching,
    refuse,
    running_triton,
)


async def ask_both(client: Triton, *tritons: FakeTriton) -> None:
    """Ask until each has been asked, which takes as long as the first connection does."""
    async with asyncio.timeout(20):
        while not all(triton.asked.is_set() for triton in tritons):
            await VersionInference(client, "3", LIMITS).infer(pack())


async def test_several_are_asked_in_turn(triton: FakeTriton) -> None:
    async with running_triton() as other, reaching(triton.address, other.address) as client:
        await ask_both(client, triton, other)
        before = len(triton.requests), len(other.requests)
        for _ in range(6):
            await VersionInference(client, "3", LIMITS).infer(pack())
        assert (len(triton.requests), len(other.requests)) == (before[0] + 3, before[1] + 3)


async def test_one_of_them_is_asked_by_its_address(triton: FakeTriton) -> None:
    async with running_triton() as other, reaching(triton.address, other.address) as client:
        for _ in range(4):
            await VersionInference(client, "3", LIMITS).probe(pack(), other.address)
        assert (len(triton.requests), len(other.requests)) == (0, 4)


async def test_calls_at_one_that_goes_away_are_answered_by_the_other(triton: FakeTriton) -> None:
    async with running_triton() as other, reaching(triton.address, other.address) as client:
        await ask_both(client, triton, other)
        other.asked.clear()
        other.behave = hang
        calls = [
            asyncio.create_task(VersionInference(client, "3", LIMITS).infer(pack()))
            for _ in range(8)
        ]
        async with asyncio.timeout(20):
            await other.asked.wait()
            await other.stop()
            await asyncio.gather(*calls)
            for _ in range(8):
                await VersionInference(client, "3", LIMITS).infer(pack())


async def test_one_that_is_out_gets_no_calls(triton: FakeTriton) -> None:
    async with running_triton() as other, reaching(triton.address, other.address) as client:
        await ask_both(client, triton, other)
        await client.fleet.use([triton.address])
        before = len(other.requests)
        for _ in range(6):
            await VersionInference(client, "3", LIMITS).infer(pack())
        assert len(other.requests) == before
        other.asked.clear()
        await client.fleet.use([triton.address, other.address])
        await ask_both(client, triton, other)


async def test_calls_under_way_at_one_that_goes_out_go_on(triton: FakeTriton) -> None:
    answer = asyncio.Event()

    async def slow(request: object, context: object) -> object:
        await answer.wait()
        return await echo(request, context)

    echo, triton.behave = triton.behave, slow
    async with running_triton() as other, reaching(triton.address, other.address) as client:
        call = asyncio.create_task(
            VersionInference(client, "3", LIMITS).probe(pack(), triton.address)
        )
        shared = [
            asyncio.create_task(VersionInference(client, "3", LIMITS).infer(pack())) for _ in "abcd"
        ]
        async with asyncio.timeout(20):
            await triton.asked.wait()
            await client.fleet.use([other.address])
            answer.set()
            await asyncio.gather(call, *shared)


async def test_all_are_used_where_none_is_well(triton: FakeTriton) -> None:
    async with running_triton() as other, reaching(triton.address, other.address) as client:
        await client.fleet.use([])
        await ask_both(client, triton, other)


async def test_tries_end_with_the_call(triton: FakeTriton) -> None:
    triton.behave = refuse(grpc.StatusCode.UNAVAILABLE, "not now")
    async with connected(triton.address) as inference:
        with pytest.raises(ModelUnavailableError):
            await inference.infer(pack())
        assert len(triton.requests) == 4
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await inference.infer(pack())
        tried = len(triton.requests)
        with pytest.raises(ModelUnavailableError):
            await inference.infer(pack())
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


async def test_tritons_at_addresses_of_version_6() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    async with running_triton("[::1]") as one, running_triton() as other:
        async with reaching(one.address) as client:
            await VersionInference(client, "3", LIMITS).infer(pack())
        async with reaching(one.address, other.address) as client:
            await ask_both(client, one, other)


async def test_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve("127.0.0.1:1") == [("127.0.0.1", 1)]
    assert resolve("[::1]:1") == [("::1", 1)]
    assert ("127.0.0.1", 1) in resolve("localhost:1")

    def unknown(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StartupError, match=r"^--triton b:2: Name or service not known$"):
        Fleet(["b:2", "c:3"])
    alone = Fleet(["b:2"])  # left to gRPC
    await alone.close()


async def test_a_name_that_leads_nowhere_any_more_is_where_it_was(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_triton() as other, reaching(triton.address, other.address) as client:
        await client.fleet.use([triton.address])

        def unknown(*arguments: object, **options: object) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        await client.fleet.use([triton.address, other.address])
        monkeypatch.undo()
        await ask_both(client, triton, other)
