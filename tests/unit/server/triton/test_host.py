"""What the rollout hears of Triton: where a version is ready, and what could not be loaded."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from spanqa_server.triton import host as host_module
from spanqa_server.triton.host import Loader, TritonHost
from spanqa_server.versions.host import Machine
from spanqa_server.versions.repository import Readiness
from support.fake_triton import FakeTriton, fake_triton, give, hang, refuse
from support.triton import triton_at

BROKEN = ("bert_qa", "2", "UNAVAILABLE", "no zip archive\nframe #0: 0x9d")


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


async def readiness(*addresses: str, version: str = "1", loader: Any = None) -> list[Readiness]:
    async with triton_at(*addresses) as triton:
        answers = await TritonHost(triton, loader).readiness(version)
    assert list(answers) == list(addresses)
    return list(answers.values())


async def test_a_version_is_asked_for_by_its_number(triton: FakeTriton) -> None:
    triton.versions = {"3", "5"}
    assert await readiness(triton.address, version="3") == [Readiness.READY]
    assert await readiness(triton.address, version="4") == [Readiness.NOT_LOADED]


async def test_each_of_several_is_asked(
    triton: FakeTriton, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fake_triton() as second, fake_triton() as third:
        second.versions = set()
        third.ready = refuse(grpc.StatusCode.UNAVAILABLE, "not now")
        addresses = (nobody, triton.address, second.address, third.address)
        away, ready, lacking = Readiness.AWAY, Readiness.READY, Readiness.NOT_LOADED
        assert await readiness(*addresses) == [away, ready, lacking, away]
        third.ready = refuse(grpc.StatusCode.NOT_FOUND, "no such model")
        second.ready = hang
        monkeypatch.setattr(host_module, "READY_SECONDS", 0.5)
        assert (await readiness(*addresses))[2:] == [Readiness.SILENT] * 2


async def test_several_are_asked_at_the_same_time(triton: FakeTriton) -> None:
    both_asked = asyncio.Barrier(2)

    async with fake_triton() as second:
        for one in (triton, second):

            async def together(request: Any, context: Any, say: Any = one.ready) -> Any:
                await both_asked.wait()
                return await say(request, context)

            one.ready = together
        assert await readiness(triton.address, second.address) == [Readiness.READY] * 2


async def test_what_triton_could_not_load(triton: FakeTriton) -> None:
    triton.models = [
        ("bert_qa", "1", "READY", ""),
        BROKEN,
        ("bert_qa", "3", "UNAVAILABLE", "unloaded"),
        ("bert_qa", "4", "LOADING", ""),
        ("another", "5", "UNAVAILABLE", "no zip archive"),
    ]
    async with triton_at(triton.address) as client:
        host = TritonHost(client, None)
        assert not host.chooses
        host.offer({"1": Path("bert_qa/1")})
        assert await host.load_failures() == {"2": f"{triton.address}: no zip archive"}
        triton.index = refuse(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted")
        assert await host.load_failures() == {}


class FakeLoader(Loader):
    def __init__(self) -> None:
        self.offered: dict[str, Path] = {}
        self.failures: dict[str, str] = {}

    def offer(self, versions: dict[str, Path]) -> None:
        self.offered = versions

    def load_failures(self) -> dict[str, str]:
        return self.failures


async def test_a_loader_is_offered_versions_and_tells_its_failures(triton: FakeTriton) -> None:
    loader = FakeLoader()
    loader.failures = {"7": "no zip"}
    async with triton_at(triton.address) as client:
        host = TritonHost(client, loader)
        assert host.chooses
        host.offer({"1": Path("bert_qa/1")})
        assert loader.offered == {"1": Path("bert_qa/1")}
        assert await host.load_failures() == {"7": "no zip"}


async def test_what_lay_there_before_says_nothing_of_its_successor(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with triton_at(triton.address) as client:
        host = TritonHost(client, FakeLoader())
        failure = {"2": f"{triton.address}: no zip archive"}
        host.offer({"2": Path("bert_qa/2")})
        triton.models = [BROKEN]
        assert await host.load_failures() == failure
        host.offer({})
        host.offer({"2": Path("another")})
        host.offer({"2": Path("another")})
        assert await host.load_failures() == {}, "Triton has not looked yet"
        triton.models = [("bert_qa", "2", "UNAVAILABLE", "another reason")]
        assert await host.load_failures() == {"2": f"{triton.address}: another reason"}
        triton.models = [BROKEN]
        monkeypatch.setattr(host_module, "STALE_SECONDS", 0.0)
        assert await host.load_failures() == failure


def instances(*kinds: str) -> Any:
    """A configuration with instances on these kinds of device."""
    response = service_pb2.ModelConfigResponse()
    for kind in kinds:
        response.config.instance_group.add(kind=f"KIND_{kind}")
    return give(response)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (instances("GPU"), Machine("cuda")),
        (instances("CPU", "CPU"), Machine("cpu")),
        (instances("CPU", "GPU"), None),
        (instances("MODEL"), None),
        (instances(), None),
        (refuse(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted"), None),
    ],
)
async def test_what_a_version_is_computed_on(
    triton: FakeTriton, config: Any, expected: Machine | None
) -> None:
    triton.config = config
    async with triton_at(triton.address) as client:
        host = TritonHost(client, None)
        assert host.machine is None, "nobody has asked"
        assert await host.machine_of("1") == expected
        known = Machine("cpu", frozenset({"float32"}))
        host = TritonHost(client, None, known)
        assert (host.machine, await host.machine_of("1")) == (known, known)
