"""What the rollout needs of whoever runs the versions."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.versions.repository import ModelVersion, Readiness


class Host(Protocol):
    """Whoever runs the versions: Triton, embedded or not."""

    def offer(self, versions: dict[str, Path]) -> None:
        """These versions are good to load, and no others."""

    @property
    def chooses(self) -> bool:
        """Whether versions that are not offered are kept from Triton."""

    async def load_failures(self) -> dict[str, str]:
        """Versions that could not be loaded, and why, as far as that is known."""

    async def readiness(self, version: str) -> Mapping[str, Readiness]:
        """Which Triton can take calls for the version."""

    async def probe(self, version: ModelVersion, packed: PackedWindows, triton: str) -> Logits:
        """Have a version compute windows at one Triton; raises ServerError."""

    async def use(self, tritons: Collection[str]) -> None:
        """Give calls to these Tritons."""

    def answered_at(self, version: str) -> float:
        """When it last answered a call, by the event loop's clock; minus infinity: never."""
