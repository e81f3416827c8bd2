"""What was decided and measured of a version after its export: a file beside the versions.

A version never changes, and Triton reloads what serves after any change in the model's directory.
So the file lies in the root of the repository, where Triton looks at directories only. It names the
weights that it is about, so that it never counts for another version of the same number.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from spanqa_model.errors import VersionError
from spanqa_model.figures import Figures, odd_figures
from spanqa_model.repository.files import explain, write_whole
from spanqa_model.repository.versions import MODEL_NAME

Decision = Literal["hold", "promote"]
DECISIONS = (None, "hold", "promote")
DEFAULT_MAX_F1_DROP = 3.0


@dataclass(frozen=True, slots=True)
class Notes:
    """The content of the file; exact match and F1 in percent."""

    model_sha256: str | None
    decision: Decision | None = None
    exact_match: float | None = None
    f1: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts when a server chooses; `fault` says what is wrong with the file."""

    decision: Decision | None
    figures: Figures
    fault: str = ""


def notes_file(repository: Path, version: int) -> Path:
    return repository / f"{MODEL_NAME}.{version}.json"


def read_notes(repository: Path, version: int, model_sha256: str | None) -> Notes:
    """The notes on the version with these weights; empty if there are none.

    Raises:
        VersionError: the file is not readable.
    """
    path = notes_file(repository, version)
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Notes(model_sha256)
    except OSError as error:
        raise VersionError(f"{path}: {explain(error)}") from None
    except ValueError:
        content = None
    is_ours = isinstance(content, dict) and content.get("decision") in DECISIONS
    if not is_ours or odd_figures(content):
        raise VersionError(f"{path}: is not what spanqa-model writes")
    if content.get("model_sha256") != model_sha256:
        return Notes(model_sha256)
    return Notes(model_sha256, content.get("decision"), **asdict(Figures.of(content)))


def change_notes(repository: Path, version: int, model_sha256: str | None, **changes: Any) -> None:
    """Change some of the notes; if they cannot be read, they are replaced.

    Raises:
        VersionError: the file cannot be written.
    """
    try:
        before = read_notes(repository, version, model_sha256)
    except VersionError:
        before = Notes(model_sha256)
    path = notes_file(repository, version)
    text = json.dumps(asdict(replace(before, **changes)), indent=2) + "\n"
    try:
        write_whole(path, text.encode(), path.with_name(f".{path.name}.new"))
    except OSError as error:
        raise VersionError(f"cannot write {path}: {explain(error)}") from None


def standing_of(repository: Path, version: int, manifest: dict[str, Any]) -> Standing:
    """The decision on a version, and its figures: those noted, or else those of its model.json."""
    exported = Figures.of(manifest)
    try:
        notes = read_notes(repository, version, manifest.get("model_sha256"))
    except VersionError as error:
        return Standing(None, exported, fault=str(error))
    noted = Figures(notes.exact_match, notes.f1)
    return Standing(notes.decision, noted if noted.known else exported)


def held_versions(standings: dict[int, Standing], max_f1_drop: float) -> dict[int, str]:
    """The versions that do not serve although they are complete, and why.

    A version is compared with the one that would serve without it: the newest older one that is not
    held. `spanqa_server.versions.decisions` has the same rule.

    Args:
        standings: of the complete versions.
        max_f1_drop: how many points of F1 a version may lose.
    """
    held: dict[int, str] = {}
    before: int | None = None
    for number, standing in sorted(standings.items()):
        if standing.fault:
            held[number] = standing.fault
        elif standing.decision == "hold":
            held[number] = "by export --hold"
        elif standing.decision is None and before is not None:
            f1, other = standing.figures.f1, standings[before].figures.f1
            if f1 is not None and other is not None and other - f1 > max_f1_drop:
                held[number] = f"F1 {f1:.2f}, but version {before} has {other:.2f}"
        if number not in held:
            before = number
    return held
