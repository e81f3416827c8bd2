"""Triton as the rollout sees it: what it holds, what it could not load."""

import math
from collections.abc import Collection
from pathlib import Path

from spanqa_server.triton.client import Triton
from spanqa_server.triton.embedded import EmbeddedTriton

READY_SECONDS = 1.0


class TritonHost:
    """The embedded Triton, which loads what it is offered, or others, which see for themselves."""

    def __init__(self, triton: Triton, embedded: EmbeddedTriton | None) -> None:
        self._triton = triton
        self._embedded = embedded

    def offer(self, versions: dict[str, Path]) -> None:
        """These versions are good to load, and no others."""
        if self._embedded:
            self._embedded.offer(versions)

    def load_failures(self) -> dict[str, str]:
        """Versions that could not be loaded, and why, as far as that is known."""
        return self._embedded.load_failures() if self._embedded else {}

    def answered_at(self, version: str) -> float:
        """When the version last answered, by the event loop's clock; minus infinity: never."""
        return self._triton.answered_at.get(version, -math.inf)

    @property
    def tritons(self) -> list[str]:
        """The addresses."""
        return self._triton.members.addresses

    async def readiness(self, version: str) -> dict[str, bool | None]:
        """Which Triton can take calls for the version; None: it does not answer."""
        return await self._triton.readiness(version, READY_SECONDS)

    def use(self, tritons: Collection[str]) -> None:
        """Give calls to these Tritons."""
        self._triton.members.use(tritons)
