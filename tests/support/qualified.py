"""The Triton that is qualified, with one model version, and a frontend on it."""

from dataclasses import dataclass
from pathlib import Path

from spanqa_server.versions.repository import ModelVersion
from support.given import newest_version
from support.processes import RunningServer
from support.production import RunningTriton, Site


@dataclass(frozen=True, slots=True)
class Qualified:
    """What tests may ask, and must leave as it is."""

    address: str
    front: RunningServer
    repository: Path
    version: ModelVersion
    # None where somebody else started it.
    triton: RunningTriton | None

    @classmethod
    def of(cls, site: Site) -> "Qualified":
        version = newest_version(site.repository)
        return cls(site.triton.address, site.front, site.repository, version, site.triton)

    @property
    def number(self) -> str:
        return self.version.number

    @property
    def tolerance(self) -> float:
        """By how much a logit may differ with a request's neighbours, for rounding alone."""
        return 1e-4 if self.version.manifest.dtype == "float32" else 1.0
