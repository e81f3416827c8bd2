"""Whether a version is ready on which Triton, and that through the host's eyes."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from spanqa_server.triton.client import Triton
from spanqa_server.triton.embedded import EmbeddedTriton
from spanqa_server.triton.host import TritonHost
from unit.server.triton.fake_triton import FakeTriton, reaching, running_triton

LONG = 20.0


@pytest.fixture
def silent() -> Iterator[str]:
    """Takes connections and never says anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


async def ready(client: Triton, number: str = "3", within: float = LONG) -> bool | None:
    """What the only Triton says."""
    [told] = (await client.readiness(number, within)).values()
    return told


async def test_a_version_is_asked_for_by_its_number(triton: FakeTriton) -> None:
    triton.ready = {"3", "5"}
    async with reaching(triton.address) as client:
        told = [await ready(client, number) for number in ("3", "4", "5")]
    assert told == [True, False, True]


async def test_one_that_comes_up_later(triton: FakeTriton) -> None:
    triton.ready = set()
    async with reaching(triton.address) as client:
        assert not await ready(client)
        triton.ready = {"3"}
        assert await ready(client)


async def test_nobody_listens(nobody: str) -> None:
    async with reaching(nobody) as client:
        assert not await ready(client)


async def test_one_that_does_not_answer_in_time(silent: str) -> None:
    async with reaching(silent) as client:
        assert not await ready(client, within=0.05)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND])
async def test_an_error_is_no_yes(triton: FakeTriton, code: grpc.StatusCode) -> None:
    triton.ready_error = code
    async with reaching(triton.address) as client:
        assert not await ready(client)


async def test_each_of_several_is_asked(triton: FakeTriton, nobody: str) -> None:
    async with running_triton() as second:
        addresses = (nobody, triton.address, second.address)
        async with reaching(*addresses) as client:
            second.ready = set()
            told = await client.readiness("3", LONG)
            assert told == {nobody: None, triton.address: True, second.address: False}
            triton.ready_error = grpc.StatusCode.UNAVAILABLE
            second.ready = {"3"}
            told = await client.readiness("3", LONG)
            assert told == {nobody: None, triton.address: None, second.address: True}


async def test_several_are_asked_at_the_same_time(triton: FakeTriton) -> None:
    both_asked = asyncio.Barrier(2)

    async with running_triton() as second:
        triton.before_ready = second.before_ready = both_asked.wait
        async with reaching(triton.address, second.address) as client:
            assert list((await client.readiness("3", LONG)).values()) == [True, True]


async def test_the_host_asks_triton(triton: FakeTriton) -> None:
    async with reaching(triton.address) as client:
        host = TritonHost(client, None)
        assert host.tritons == [triton.address]
        assert await host.readiness("3") == {triton.address: True}
        assert await host.readiness("4") == {triton.address: False}


async def test_tritons_of_others_see_for_themselves(triton: FakeTriton) -> None:
    async with reaching(triton.address) as client:
        host = TritonHost(client, None)
        host.offer({"1": Path("bert_qa/1")})
        assert host.load_failures() == {}


async def test_the_embedded_triton_is_offered_versions_and_tells_its_failures(
    triton: FakeTriton,
) -> None:
    embedded = EmbeddedTriton(Path("repository"), threads=0)
    async with reaching(triton.address) as client:
        host = TritonHost(client, embedded)
        host.offer({"1": Path("bert_qa/1")})
        assert host.load_failures() is embedded.load_failures()
        assert embedded._offered == {"1": Path("bert_qa/1")}
