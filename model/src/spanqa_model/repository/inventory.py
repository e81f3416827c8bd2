"""Lists the versions of a repository and their states."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from spanqa_model.figures import odd_figures
from spanqa_model.repository.decisions import (
    DEFAULT_MAX_F1_DROP,
    Standing,
    held_versions,
    standing_of,
)
from spanqa_model.repository.versions import served_versions, version_numbers, withdrawn_versions

State = Literal["candidate", "available", "held", "withdrawn", "broken"]
VERSION_FILES = ("model.json", "model.pt", "tokenizer.json", "model.py")


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """One version directory; model.json may lack the facts that may be None.

    `reason` says why it is held or broken. Exact match and F1 are in percent.
    """

    version: int
    state: State
    reason: str | None
    name: str | None
    dtype: str | None
    device: str | None
    exact_match: float | None
    f1: float | None
    size_bytes: int
    exported: datetime


def list_versions(repository: Path, max_f1_drop: float = DEFAULT_MAX_F1_DROP) -> list[VersionFacts]:
    """All versions, newest first. A server tries the `candidate` first, then `available` ones.

    Args:
        repository: Triton's model repository.
        max_f1_drop: the setting of the servers.
    """
    served, withdrawn = served_versions(repository), withdrawn_versions(repository)
    faults = {number: fault_of(served / str(number)) for number in version_numbers(served)}
    held = held_in(repository, max_f1_drop)
    candidate = max((n for n, fault in faults.items() if not fault and n not in held), default=0)
    found = []
    for number, fault in faults.items():
        state: State = "available"
        if fault:
            state = "broken"
        elif number in held:
            state = "held"
        elif number == candidate:
            state = "candidate"
        found.append(read_facts(repository, served, number, state, fault or held.get(number)))
    found += [
        read_facts(repository, withdrawn, number, "withdrawn")
        for number in version_numbers(withdrawn)
    ]
    return sorted(filter(None, found), key=lambda facts: facts.version, reverse=True)


def complete_versions(repository: Path) -> set[int]:
    """The numbers of the complete versions that Triton can see."""
    served = served_versions(repository)
    return {number for number in version_numbers(served) if not fault_of(served / str(number))}


def held_in(repository: Path, max_f1_drop: float) -> dict[int, str]:
    """The complete versions that do not serve, and why."""
    standings = {number: standing(repository, number) for number in complete_versions(repository)}
    return held_versions(standings, max_f1_drop)


def standing(repository: Path, number: int) -> Standing:
    manifest = read_manifest(served_versions(repository) / str(number))
    return standing_of(repository, number, manifest)


def fault_of(directory: Path) -> str | None:
    """Why this version is broken; None if it is complete. Only model.json is read."""
    missing = [name for name in VERSION_FILES if not (directory / name).is_file()]
    if missing:
        return f"no {', '.join(missing)}"
    manifest = read_manifest(directory)
    if not manifest:
        return "model.json is not readable as JSON"
    odd = odd_figures(manifest)
    return f"{odd} of model.json is no number from 0 to 100" if odd else None


def read_manifest(directory: Path) -> dict[str, Any]:
    try:
        content = json.loads((directory / "model.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_facts(
    repository: Path, parent: Path, number: int, state: State, reason: str | None = None
) -> VersionFacts | None:
    """The facts of one version; None if it disappeared meanwhile."""
    directory = parent / str(number)
    manifest = read_manifest(directory)
    try:
        files = {path.name: path.stat() for path in directory.iterdir()}
        exported = files.get("model.json", directory.stat()).st_mtime
    except OSError:
        return None
    known = standing_of(repository, number, manifest)
    return VersionFacts(
        version=number,
        state=state,
        reason=reason,
        name=manifest.get("name"),
        dtype=manifest.get("dtype"),
        device=manifest.get("device"),
        exact_match=known.figures.exact_match,
        f1=known.figures.f1,
        size_bytes=sum(file.st_size for file in files.values()),
        exported=datetime.fromtimestamp(exported, UTC),
    )
