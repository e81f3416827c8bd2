"""The commands around versions that exist: list them, withdraw one, bring one back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from spanqa_model.errors import ExportError
from spanqa_model.inventory import VersionFacts, list_versions
from spanqa_model.versions import (
    served_versions,
    update_configurations,
    version_exists,
    version_withdrawn,
)
from spanqa_model.withdrawal import VersionError, restore, withdraw

Repository = Annotated[
    Path, typer.Option(help="Triton's model repository.", envvar="SPANQA_MODEL_REPOSITORY")
]
Number = Annotated[int, typer.Argument(min=1, metavar="N", help="The version's number.")]
DEFAULT = Path("model_repository")
HEADER = ("version", "state", "name", "dtype", "device", "size", "exported (UTC)")


def register(app: typer.Typer) -> None:
    app.command(name="versions")(versions_command)
    app.command(name="withdraw")(withdraw_command)
    app.command(name="restore")(restore_command)


def versions_command(
    repository: Repository = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the versions, newest first.

    A server serves the newest complete one that Triton has loaded and that answers its trial.
    """
    found = list_versions(repository)
    if not found and not served_versions(repository).is_dir():
        raise VersionError(f"{repository} is no model repository: name it with --repository")
    if as_json:
        print(json.dumps([as_object(facts) for facts in found], indent=2, ensure_ascii=False))
    elif found:
        print("\n".join(table(found)))
    else:
        print(f"{repository} has no versions: make one with spanqa-model export")


def withdraw_command(
    number: Number,
    repository: Repository = DEFAULT,
    force: Annotated[
        bool, typer.Option("--force", help="Also where no other complete version is left.")
    ] = False,
) -> None:
    """Take a version out of service.

    It moves out of Triton's sight, and the version before it serves. Its number stays taken.
    """
    moved = withdraw(repository, number, force=force)
    print(f"version {number} is now {moved}; bring it back with: spanqa-model restore {number}")


def restore_command(number: Number, repository: Repository = DEFAULT) -> None:
    """Bring a withdrawn version back."""
    print(f"version {number} is now {restore(repository, number)}")


def nothing_to_export(repository: Path, version: int) -> bool:
    """Whether export --if-missing finds its version; then only configurations are updated."""
    if version_exists(repository, version):
        note = f"version {version} is there already: nothing to export"
    elif version_withdrawn(repository, version):
        note = (
            f"version {version} is there already, but withdrawn: nothing to export "
            f"(bring it back with: spanqa-model restore {version})"
        )
    else:
        return False
    try:
        for file in update_configurations(repository):
            print(f"{served_versions(repository) / file} is now that of this release")
    except ExportError as error:  # what serves goes on serving
        typer.echo(f"spanqa-model: warning: {error}", err=True)
    print(note)
    return True


def as_object(facts: VersionFacts) -> dict[str, Any]:
    return {
        "version": facts.version,
        "state": facts.state,
        "fault": facts.fault or None,
        "name": facts.name or None,
        "dtype": facts.dtype or None,
        "device": facts.device or None,
        "size_bytes": facts.size_bytes,
        "exported": facts.exported.isoformat(timespec="seconds"),
    }


def table(found: list[VersionFacts]) -> Iterator[str]:
    rows = [HEADER, *map(row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join(padded).rstrip()


def row(facts: VersionFacts) -> tuple[str, ...]:
    state = f"{facts.state}: {facts.fault}" if facts.fault else facts.state
    known = (text or "-" for text in (facts.name, facts.dtype, facts.device))
    size = f"{facts.size_bytes / 1e6:.1f} MB"
    return (str(facts.version), state, *known, size, f"{facts.exported:%Y-%m-%d %H:%M}")
