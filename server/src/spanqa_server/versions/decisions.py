"""Which versions may serve: what was decided and measured of them, in files beside the versions.

`spanqa-model` writes these files. A version that somebody held, or that loses too much, is not
tried until it is promoted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from spanqa_server.files import read_regular
from spanqa_server.versions.host import Machine
from spanqa_server.versions.repository import (
    MAX_MANIFEST_BYTES,
    MODEL_NAME,
    Figures,
    Manifest,
    Percent,
    VersionFile,
    read_manifest,
)

NEEDED = ("model.pt", "tokenizer.json")


class Notes(BaseModel):
    """The file beside a version, as `spanqa-model` writes it."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_sha256: str | None = None
    decision: Literal["hold", "promote"] | None = None
    exact_match: Percent | None = None
    f1: Percent | None = None

    @property
    def figures(self) -> Figures:
        """What was measured after the export."""
        return Figures(self.exact_match, self.f1)


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts when a version is chosen."""

    file: VersionFile
    manifest: Manifest | None
    """None if a file of the version is missing or broken."""
    figures: Figures
    decision: Literal["hold", "promote"] | None = None
    fault: str = ""
    """What is wrong with the file of decisions."""


class StandingReader:
    """Reads the standing of versions, again and again; each good model.json once."""

    def __init__(self, repository: Path) -> None:
        """Nothing is read yet."""
        self._repository = repository
        self._manifests: dict[VersionFile, Manifest | None] = {}

    def read(self, found: list[VersionFile]) -> list[Standing]:
        """The standing of each version, in the same order."""
        known = self._manifests
        self._manifests = {file: known.get(file) or whole_manifest(file) for file in found}
        return [self._read(file, manifest) for file, manifest in self._manifests.items()]

    def _read(self, file: VersionFile, manifest: Manifest | None) -> Standing:
        if manifest is None:
            return Standing(file, None, Figures())
        path = self._repository / f"{MODEL_NAME}.{file.number}.json"
        exported = manifest.figures
        try:
            notes = Notes.model_validate_json(read_regular(path, MAX_MANIFEST_BYTES))
        except FileNotFoundError:
            notes = Notes()
        except OSError as error:
            return Standing(file, manifest, exported, fault=f"{path}: {error.strerror}")
        except ValidationError:
            fault = f"{path}: is not what spanqa-model writes"
            return Standing(file, manifest, exported, fault=fault)
        if notes.model_sha256 != manifest.model_sha256:  # of another one, which had this number
            return Standing(file, manifest, exported)
        return Standing(file, manifest, notes.figures.or_else(exported), notes.decision)


def whole_manifest(file: VersionFile) -> Manifest | None:
    """The model.json of a version whose other files are there."""
    if not all((file.directory / name).is_file() for name in NEEDED):
        return None
    try:
        return read_manifest(file.directory)
    except (OSError, ValidationError):
        return None


def held_versions(
    standings: list[Standing], max_f1_drop: float, machine: Machine | None
) -> dict[VersionFile, str]:
    """The versions that must not serve, and why.

    A version is compared with the one that would serve without it: the newest older one that is not
    held. `spanqa_model.repository.decisions` has the same rule, except for the machine.

    Args:
        standings: newest first.
        max_f1_drop: how many points of F1 a version may lose.
        machine: what they would compute on, if that is known.
    """
    held: dict[VersionFile, str] = {}
    before: Standing | None = None
    for standing in reversed(standings):
        if standing.manifest is None:
            continue
        if reason := why_held(standing, before, max_f1_drop, machine):
            held[standing.file] = reason
        else:
            before = standing
    return held


def why_held(
    standing: Standing, before: Standing | None, max_f1_drop: float, machine: Machine | None
) -> str:
    """Why a version must not serve in place of the one before it; empty if it may."""
    if standing.fault:
        return standing.fault
    if standing.decision == "hold":
        return "by export --hold"
    if standing.decision == "promote" or before is None:
        return ""
    f1, other = standing.figures.f1, before.figures.f1
    if f1 is not None and other is not None and other - f1 > max_f1_drop:
        return f"F1 {f1:.2f}, but version {before.file.number} has {other:.2f}"
    if machine and not machine.suits(standing.manifest) and machine.suits(before.manifest):
        assert standing.manifest
        return f"made for {standing.manifest.device}, but Triton computes on {machine.device}"
    return ""
