"""What the rollout needs of Triton, whichever it is."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.versions.repository import Readiness


class Host(Protocol):
    """The Tritons that run the versions, the embedded one or others."""

    def offer(self, versions: dict[str, Path]) -> None:
        """Let Triton load these versions, and no others, if it is up to us."""

    @property
    def chooses(self) -> bool:
        """Whether versions that are not offered are kept from Triton. If not, it sees them all."""

    async def load_failures(self) -> dict[str, str]:
        """Versions that Triton could not load, and why, as far as it says."""

    async def readiness(self, version: str) -> Mapping[str, Readiness]:
        """What each Triton, by its address, says of the version."""

    async def probe(self, version: str, packed: PackedWindows, triton: str) -> Logits:
        """Have the version compute windows at one Triton; raises ServerError."""

    async def inferences(self, version: str, triton: str) -> int | None:
        """How many the version has computed at one Triton, for whomever; None if it is not said."""

    async def use(self, tritons: Collection[str]) -> None:
        """Give calls to these Tritons, and to no others."""

    def answered_at(self, version: str) -> float:
        """When the version last answered a call, by the event loop's clock; if never, -inf."""
