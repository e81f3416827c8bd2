"""Whether a version is ready on which Triton, and that through the host's eyes."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from spanqa_server.triton import host as host_module
from spanqa_server.triton.client import Triton
from spanqa_server.triton.host import TritonHost
from spanqa_server.versions.repository import Readiness
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


async def ready(client: Triton, number: str = "3", within: float = LONG) -> Readiness:
    """What the only Triton says."""
    [told] = (await client.readiness(number, within)).values()
    return told


async def test_a_version_is_asked_for_by_its_number(triton: FakeTriton) -> None:
    triton.ready = {"3", "5"}
    async with reaching(triton.address) as client:
        told = [await ready(client, number) for number in ("3", "4", "5")]
    assert told == [Readiness.READY, Readiness.NOT_LOADED, Readiness.READY]


async def test_one_that_comes_up_later(triton: FakeTriton) -> None:
    triton.ready = set()
    async with reaching(triton.address) as client:
        assert await ready(client) is Readiness.NOT_LOADED
        triton.ready = {"3"}
        assert await ready(client) is Readiness.READY


async def test_nobody_listens(nobody: str) -> None:
    async with reaching(nobody) as client:
        assert await ready(client) is Readiness.AWAY


async def test_one_that_does_not_answer_in_time(silent: str) -> None:
    async with reaching(silent) as client:
        assert await ready(client, within=0.05) is Readiness.SILENT


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND])
async def test_an_error_is_no_yes(triton: FakeTriton, code: grpc.StatusCode) -> None:
    triton.ready_error = code
    async with reaching(triton.address) as client:
        assert await ready(client) is not Readiness.READY


async def test_each_of_several_is_asked(triton: FakeTriton, nobody: str) -> None:
    async with running_triton() as second:
        addresses = (nobody, triton.address, second.address)
        async with reaching(*addresses) as client:
            second.ready = set()
            told = await client.readiness("3", LONG)
            assert told == {
                nobody: Readiness.AWAY,
                triton.address: Readiness.READY,
                second.address: Readiness.NOT_LOADED,
            }
            triton.ready_error = grpc.StatusCode.UNAVAILABLE
            second.ready = {"3"}
            told = await client.readiness("3", LONG)
            assert told == {
                nobody: Readiness.AWAY,
                triton.address: Readiness.AWAY,
                second.address: Readiness.READY,
            }


async def test_several_are_asked_at_the_same_time(triton: FakeTriton) -> None:
    both_asked = asyncio.Barrier(2)

    async with running_triton() as second:
        triton.before_ready = second.before_ready = both_asked.wait
        async with reaching(triton.address, second.address) as client:
            told = await client.readiness("3", LONG)
            assert list(told.values()) == [Readiness.READY] * 2


async def test_the_host_asks_triton(triton: FakeTriton) -> None:
    async with reaching(triton.address) as client:
        host = TritonHost(client, None)
        assert await host.readiness("3") == {triton.address: Readiness.READY}
        assert await host.readiness("4") == {triton.address: Readiness.NOT_LOADED}


async def test_tritons_of_others_see_for_themselves(triton: FakeTriton) -> None:
    async with reaching(triton.address) as client:
        host = TritonHost(client, None)
        assert not host.chooses
        host.offer({"1": Path("bert_qa/1")})
        assert await host.load_failures() == {}


async def test_what_triton_could_not_load(triton: FakeTriton) -> None:
    triton.index = [
        ("bert_qa", "1", "READY", ""),
        ("bert_qa", "2", "UNAVAILABLE", "no zip archive\nframe #0: 0x9d"),
        ("bert_qa", "3", "UNAVAILABLE", "unloaded"),
        ("bert_qa", "4", "LOADING", ""),
        ("another", "5", "UNAVAILABLE", "no zip archive"),
    ]
    async with reaching(triton.address) as client:
        host = TritonHost(client, None)
        assert await host.load_failures() == {"2": f"{triton.address}: no zip archive"}
        triton.index = None  # closed
        assert await host.load_failures() == {}


class PlayedLoader:
    def __init__(self) -> None:
        self.offered: dict[str, Path] = {}
        self.failures = {"7": "no zip"}

    def offer(self, versions: dict[str, Path]) -> None:
        self.offered = versions

    def load_failures(self) -> dict[str, str]:
        return self.failures


async def test_a_loader_is_offered_versions_and_tells_its_failures(triton: FakeTriton) -> None:
    loader = PlayedLoader()
    async with reaching(triton.address) as client:
        host = TritonHost(client, loader)
        assert host.chooses
        host.offer({"1": Path("bert_qa/1")})
        assert loader.offered == {"1": Path("bert_qa/1")}
        assert await host.load_failures() == {"7": "no zip"}


async def test_what_lay_there_before_says_nothing_of_its_successor(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reaching(triton.address) as client:
        one = PlayedLoader()
        one.failures = {}
        broken = [("bert_qa", "2", "UNAVAILABLE", "no zip archive")]
        failure = {"2": f"{triton.address}: no zip archive"}
        host = TritonHost(client, one)
        host.offer({"2": Path("bert_qa/2")})
        triton.index = broken
        assert await host.load_failures() == failure
        host.offer({})
        host.offer({"2": Path("another")})
        host.offer({"2": Path("another")})
        assert await host.load_failures() == {}, "Triton has not looked yet"
        triton.index = [("bert_qa", "2", "UNAVAILABLE", "another reason")]
        assert await host.load_failures() == {"2": f"{triton.address}: another reason"}
        triton.index = broken
        monkeypatch.setattr(host_module, "STALE_SECONDS", 0.0)
        assert await host.load_failures() == failure
