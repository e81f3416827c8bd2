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
    """One version directory; fields that model.json lacks are empty."""

    version: int
    state: State
    fault: str  # why it is incomplete; "" for a complete one
    name: str
    dtype: str
    device: str
    size_bytes: int
    exported: datetime


def list_versions(repository: Path) -> list[VersionFacts]:
    """All versions, newest first. The state `newest` means that a server tries this one first."""
    served, withdrawn = served_versions(repository), withdrawn_versions(repository)
    there = {number: fault_of(served / str(number)) for number in version_numbers(served)}
    newest = max((number for number, fault in there.items() if not fault), default=0)
    places = [(number, served) for number in there]
    places += [(number, withdrawn) for number in version_numbers(withdrawn)]
    found = []
    for number, parent in sorted(places, key=lambda place: place[0], reverse=True):
        fault = there[number] if parent == served else ""
        state: State = "newest" if number == newest else "available"
        if parent == withdrawn:
            state = "withdrawn"
        elif fault:
            state = "incomplete"
        if facts := read_facts(parent, number, state, fault):
            found.append(facts)
    return found


def complete_versions(repository: Path) -> set[int]:
    """The numbers of the complete versions that Triton can see."""
    served = served_versions(repository)
    return {number for number in version_numbers(served) if not fault_of(served / str(number))}


def fault_of(directory: Path) -> str:
    """Why this version is incomplete, or "". Files are not read, except model.json."""
    missing = [name for name in VERSION_FILES if not (directory / name).is_file()]
    if missing:
        return f"no {', '.join(missing)}"
    return "" if read_manifest(directory) else "model.json is not readable as JSON"


def read_manifest(directory: Path) -> dict[str, Any]:
    try:
        content = json.loads((directory / "model.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_facts(parent: Path, number: int, state: State, fault: str) -> VersionFacts | None:
    """The facts of one version; None if it disappeared meanwhile."""
    directory = parent / str(number)
    manifest = read_manifest(directory)
    name, dtype, device = (str(manifest.get(key, "")) for key in ("name", "dtype", "device"))
    try:
        files = {path.name: path.stat() for path in directory.iterdir()}
        exported = files.get("model.json", directory.stat()).st_mtime
    except OSError:
        return None
    return VersionFacts(
        version=number,
        state=state,
        fault=fault,
        name=name,
        dtype=dtype,
        device=device,
        size_bytes=sum(file.st_size for file in files.values()),
        exported=datetime.fromtimestamp(exported, UTC),
    )
