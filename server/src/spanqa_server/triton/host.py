"""Triton as the rollout sees it: what it has loaded, what it could not load, what it computes."""

import asyncio
import logging
import math
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

import grpc
from tritonclient.grpc import model_config_pb2, service_pb2

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.triton.client import Triton
from spanqa_server.triton.protocol import gist
from spanqa_server.versions.host import Host, Machine
from spanqa_server.versions.repository import MODEL_NAME, Readiness

logger = logging.getLogger(__name__)

READY_SECONDS = 1.0
DEVICES = {
    model_config_pb2.ModelInstanceGroup.KIND_GPU: "cuda",
    model_config_pb2.ModelInstanceGroup.KIND_CPU: "cpu",
}
# For so long Triton may still report the failure of what had the same number before.
STALE_SECONDS = 15.0
# The reasons in Triton's index for a version that it was not asked to keep.
UNLOADED = ("", "unloaded")


class Loader(Protocol):
    """What decides which versions Triton sees."""

    def offer(self, versions: dict[str, Path]) -> None:
        """Let Triton have these versions, and no others, within its next poll."""

    def load_failures(self) -> dict[str, str]:
        """Offered versions that Triton could not load, and why, as far as the loader knows."""


class TritonHost(Host):
    """Tritons that load what a loader offers them, or that see the repository for themselves."""

    def __init__(
        self, triton: Triton, loader: Loader | None, machine: Machine | None = None
    ) -> None:
        """Nothing is offered yet.

        Args:
            triton: its client.
            loader: decides what it sees; None if it sees the repository for itself.
            machine: what it computes on, if that is known.
        """
        self._triton = triton
        self._loader = loader
        self._machine = machine
        # By version: since when it is offered, what Triton last reported, and what it had
        # reported before the version was offered.
        self._offered: dict[str, float] = {}
        self._reported: dict[str, str] = {}
        self._stale: dict[str, str] = {}
        # By address: why it did not let us in, as it was logged; None once it has answered.
        self._told: dict[str, str | None] = {}

    @property
    def chooses(self) -> bool:
        return self._loader is not None

    def offer(self, versions: dict[str, Path]) -> None:
        if not self._loader:
            return
        now = asyncio.get_running_loop().time()
        new = versions.keys() - self._offered.keys()
        self._stale |= {
            number: self._reported[number] for number in new if number in self._reported
        }
        self._offered = {number: self._offered.get(number, now) for number in versions}
        self._loader.offer(versions)

    @property
    def machine(self) -> Machine | None:
        return self._machine

    async def machine_of(self, version: str) -> Machine | None:
        if self._machine:
            return self._machine
        answers = await asyncio.gather(
            *(self._ask_device(one, version) for one in self._triton.fleet.addresses)
        )
        return next((Machine(device) for device in answers if device), None)

    async def _ask_device(self, address: str, version: str) -> str:
        """The kind of device of the version's instances; empty if Triton does not say."""
        request = service_pb2.ModelConfigRequest(name=MODEL_NAME, version=version)
        stub = self._triton.fleet.stub(address)
        try:
            response = await stub.ModelConfig(request, timeout=READY_SECONDS)
        except grpc.aio.AioRpcError:
            return ""
        kinds = {DEVICES.get(group.kind, "") for group in response.config.instance_group}
        return kinds.pop() if len(kinds) == 1 else ""

    async def readiness(self, version: str) -> dict[str, Readiness]:
        addresses = self._triton.fleet.addresses
        answers = await asyncio.gather(*(self._ask_ready(one, version) for one in addresses))
        return dict(zip(addresses, answers, strict=True))

    async def _ask_ready(self, address: str, version: str) -> Readiness:
        request = service_pb2.ModelReadyRequest(name=MODEL_NAME, version=version)
        stub = self._triton.fleet.stub(address)
        try:
            response = await stub.ModelReady(request, timeout=READY_SECONDS)
        except grpc.aio.AioRpcError as error:
            self._tell_if_closed(address, error)
            away = error.code() is grpc.StatusCode.UNAVAILABLE
            return Readiness.AWAY if away else Readiness.SILENT
        self._told[address] = None
        return Readiness.READY if response.ready else Readiness.NOT_LOADED

    def _tell_if_closed(self, address: str, error: grpc.aio.AioRpcError) -> None:
        """Log once that a Triton that has never answered does not let us in."""
        told = self._told.get(address, "")
        reason = self._triton.fleet.access.why_closed(error)
        if reason and told is not None and told != reason:
            self._told[address] = reason
            logger.warning("Triton at %s: %s (%s)", address, reason, gist(error.details() or ""))

    async def load_failures(self) -> dict[str, str]:
        addresses = self._triton.fleet.addresses
        answers = await asyncio.gather(*map(self._ask_failures, addresses))
        self._reported = {number: why for one in reversed(answers) for number, why in one.items()}
        earliest = asyncio.get_running_loop().time() - STALE_SECONDS
        fresh = {
            number: reason
            for number, reason in self._reported.items()
            if reason != self._stale.get(number) or self._offered.get(number, earliest) <= earliest
        }
        return fresh | (self._loader.load_failures() if self._loader else {})

    async def _ask_failures(self, address: str) -> dict[str, str]:
        """What a Triton's index says that it could not load; nothing if the index is closed."""
        request = service_pb2.RepositoryIndexRequest()
        stub = self._triton.fleet.stub(address)
        try:
            response = await stub.RepositoryIndex(request, timeout=READY_SECONDS)
        except grpc.aio.AioRpcError:
            return {}
        return {
            model.version: f"{address}: {gist(model.reason)}"
            for model in response.models
            if model.name == MODEL_NAME
            and model.state == "UNAVAILABLE"
            and model.reason not in UNLOADED
        }

    async def probe(self, version: str, packed: PackedWindows, triton: str) -> Logits:
        return await self._triton.probe(packed, version, triton)

    async def inferences(self, version: str, triton: str) -> int | None:
        request = service_pb2.ModelStatisticsRequest(name=MODEL_NAME, version=version)
        stub = self._triton.fleet.stub(triton)
        try:
            response = await stub.ModelStatistics(request, timeout=READY_SECONDS)
        except grpc.aio.AioRpcError:
            return None
        return sum(int(model.inference_count) for model in response.model_stats)

    async def use(self, tritons: Collection[str]) -> None:
        await self._triton.fleet.use(tritons)

    def answered_at(self, version: str) -> float:
        return self._triton.answered_at.get(version, -math.inf)
