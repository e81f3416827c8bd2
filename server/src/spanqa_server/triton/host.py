"""Triton as the rollout sees it: what it holds, what it could not load, what it computes."""

import asyncio
import math
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.triton.client import Triton, VersionInference
from spanqa_server.versions.repository import ModelVersion, Readiness

READY_SECONDS = 1.0
# For so long Triton may still report the failure of what had the same number before.
STALE_SECONDS = 15.0


class Loader(Protocol):
    """What decides which versions Triton sees."""

    def offer(self, versions: dict[str, Path]) -> None:
        """Let Triton have these versions, and no others, within its next poll."""

    def load_failures(self) -> dict[str, str]:
        """Offered versions that Triton could not load, and why, as far as the loader knows."""


class TritonHost:
    """Tritons that load what a loader offers them, or that see the repository for themselves."""

    def __init__(self, triton: Triton, loader: Loader | None) -> None:
        self._triton = triton
        self._loader = loader
        self._offered: dict[str, float] = {}
        self._reported: dict[str, str] = {}
        self._stale: dict[str, str] = {}

    @property
    def chooses(self) -> bool:
        """Whether versions that are not offered are kept from Triton."""
        return self._loader is not None

    def offer(self, versions: dict[str, Path]) -> None:
        """These versions are good to load, and no others."""
        if not self._loader:
            return
        now = asyncio.get_running_loop().time()
        new = versions.keys() - self._offered.keys()
        self._stale |= {
            number: self._reported[number] for number in new if number in self._reported
        }
        self._offered = {number: self._offered.get(number, now) for number in versions}
        self._loader.offer(versions)

    async def load_failures(self) -> dict[str, str]:
        """Versions that could not be loaded, and why, as far as that is known."""
        self._reported = await self._triton.load_failures(READY_SECONDS)
        earliest = asyncio.get_running_loop().time() - STALE_SECONDS
        fresh = {
            number: reason
            for number, reason in self._reported.items()
            if reason != self._stale.get(number) or self._offered.get(number, earliest) <= earliest
        }
        return fresh | (self._loader.load_failures() if self._loader else {})

    def answered_at(self, version: str) -> float:
        """When the version last answered, by the event loop's clock; minus infinity: never."""
        return self._triton.answered_at.get(version, -math.inf)

    async def readiness(self, version: str) -> dict[str, Readiness]:
        """Which Triton can take calls for the version."""
        return await self._triton.readiness(version, READY_SECONDS)

    async def probe(self, version: ModelVersion, packed: PackedWindows, triton: str) -> Logits:
        """Have a version compute windows at one Triton; raises ServerError."""
        inference = VersionInference(self._triton, version.number, version.tensor_limits)
        return await inference.probe(packed, triton)

    async def use(self, tritons: Collection[str]) -> None:
        """Give calls to these Tritons."""
        await self._triton.fleet.use(tritons)
