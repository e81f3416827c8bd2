"""What the rollout needs of Triton, whichever it is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.versions.repository import Manifest, Readiness


@dataclass(frozen=True, slots=True)
class Machine:
    """What Triton computes on."""

    device: str
    """The kind of device, as in model.json: cpu or cuda."""
    dtypes: frozenset[str] | None = None
    """Those that it computes natively, if that is known."""

    def suits(self, manifest: Manifest | None) -> bool:
        """Whether a version was made for such a device, as far as its model.json says."""
        return manifest is None or manifest.device in (None, self.device)

    def misfit(self, manifest: Manifest) -> str:
        """Why a version is slow here, and the remedy; empty if it is not."""
        if not self.suits(manifest):
            return (
                f"it was made for {manifest.device}, but Triton computes on {self.device}: "
                f"it may be slow; export it with --device {self.device}"
            )
        if self.dtypes is not None and manifest.dtype not in self.dtypes:
            return (
                f"this {self.device} does not compute {manifest.dtype} natively: "
                "it may be slow; export it with --dtype float32"
            )
        return ""


class Host(Protocol):
    """The Tritons that run the versions, the embedded one or others."""

    def offer(self, versions: dict[str, Path]) -> None:
        """Let Triton load these versions, and no others, if it is up to us."""

    @property
    def chooses(self) -> bool:
        """Whether versions that are not offered are kept from Triton. If not, it sees them all."""

    @property
    def machine(self) -> Machine | None:
        """What Triton computes on, if that is known without asking."""

    async def machine_of(self, version: str) -> Machine | None:
        """What a version that is loaded is computed on, if Triton says so."""

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
