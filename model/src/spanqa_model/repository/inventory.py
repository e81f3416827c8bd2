"""Lists the versions of a repository and their states."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from spanqa_model.repository.versions import served_versions, version_numbers, withdrawn_versions

State = Literal["newest", "available", "withdrawn", "incomplete"]
VERSION_FILES = ("model.json", "model.pt", "tokenizer.json", "model.py")


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """One version directory. `fault` says why it is incomplete; model.json may lack the others."""

    version: int
    state: State
    fault: str | None
    name: str | None
    dtype: str | None
    device: str | None
    size_bytes: int
    exported: datetime


def list_versions(repository: Path) -> list[VersionFacts]:
    """All versions, newest first. The state `newest` means that a server tries this one first."""
    served, withdrawn = served_versions(repository), withdrawn_versions(repository)
    faults = {number: fault_of(served / str(number)) for number in version_numbers(served)}
    newest = max((number for number, fault in faults.items() if not fault), default=0)
    found = []
    for number, fault in faults.items():
        state: State = "incomplete" if fault else "newest" if number == newest else "available"
        found.append(read_facts(served, number, state, fault))
    found += [read_facts(withdrawn, number, "withdrawn") for number in version_numbers(withdrawn)]
    return sorted(filter(None, found), key=lambda facts: facts.version, reverse=True)


def complete_versions(repository: Path) -> set[int]:
    """The numbers of the complete versions that Triton can see."""
    served = served_versions(repository)
    return {number for number in version_numbers(served) if not fault_of(served / str(number))}


def fault_of(directory: Path) -> str | None:
    """Why this version is incomplete; None if it is complete. Only model.json is read."""
    missing = [name for name in VERSION_FILES if not (directory / name).is_file()]
    if missing:
        return f"no {', '.join(missing)}"
    return None if read_manifest(directory) else "model.json is not readable as JSON"


def read_manifest(directory: Path) -> dict[str, Any]:
    try:
        content = json.loads((directory / "model.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_facts(
    parent: Path, number: int, state: State, fault: str | None = None
) -> VersionFacts | None:
    """The facts of one version; None if it disappeared meanwhile."""
    directory = parent / str(number)
    manifest = read_manifest(directory)
    try:
        files = {path.name: path.stat() for path in directory.iterdir()}
        exported = files.get("model.json", directory.stat()).st_mtime
    except OSError:
        return None
    return VersionFacts(
        version=number,
        state=state,
        fault=fault,
        name=manifest.get("name"),
        dtype=manifest.get("dtype"),
        device=manifest.get("device"),
        size_bytes=sum(file.st_size for file in files.values()),
        exported=datetime.fromtimestamp(exported, UTC),
    )
