"""`spanqa-model versions`, `withdraw` and `restore`: the versions that exist."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from spanqa_model.errors import ExportError, VersionError
from spanqa_model.repository.inventory import VersionFacts, list_versions
from spanqa_model.repository.staging import update_configurations
from spanqa_model.repository.versions import served_versions, version_exists, version_withdrawn
from spanqa_model.repository.withdrawal import restore, withdraw

Repository = Annotated[
    Path,
    typer.Option(
        metavar="DIR", envvar="SPANQA_MODEL_REPOSITORY", help="Triton's model repository."
    ),
]
Number = Annotated[int, typer.Argument(min=1, metavar="N", hidden=True)]
DEFAULT_REPOSITORY = Path("model_repository")
HEADER = ("version", "state", "name", "dtype", "device", "size", "exported (UTC)")


def versions_command(
    repository: Repository = DEFAULT_REPOSITORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the versions, newest first.

    A server uses the newest complete version that Triton has loaded and that passes the canary.
    """
    found = list_versions(repository)
    if not found and not served_versions(repository).is_dir():
        raise VersionError(f"{repository} is not a model repository: name one with --repository")
    if as_json:
        print(json.dumps([as_object(facts) for facts in found], indent=2, ensure_ascii=False))
    elif found:
        print("\n".join(table(found)))
    else:
        print(f"{repository} has no versions: make one with spanqa-model export")


def withdraw_command(
    number: Number,
    repository: Repository = DEFAULT_REPOSITORY,
    force: Annotated[
        bool, typer.Option("--force", help="Withdraw it even if no other complete version is left.")
    ] = False,
) -> None:
    """Take version N out of service.

    It moves out of Triton's repository, and the version before it serves again. No other version
    gets its number.
    """
    moved = withdraw(repository, number, force=force)
    print(f"version {number} is now {moved}; bring it back with: spanqa-model restore {number}")


def restore_command(number: Number, repository: Repository = DEFAULT_REPOSITORY) -> None:
    """Bring version N back into service."""
    print(f"version {number} is now {restore(repository, number)}")


def nothing_to_export(repository: Path, version: int) -> bool:
    """Whether the version of `export --if-missing` exists; if so, update the configurations."""
    if version_exists(repository, version):
        note = f"version {version} already exists: nothing to export"
    elif version_withdrawn(repository, version):
        note = (
            f"version {version} already exists, but is withdrawn: nothing to export "
            f"(bring it back with: spanqa-model restore {version})"
        )
    else:
        return False
    try:
        for file in update_configurations(repository):
            print(f"{served_versions(repository) / file} was updated to this release")
    except ExportError as error:  # the version that serves is not affected
        typer.echo(f"spanqa-model: warning: {error}", err=True)
    print(note)
    return True


def as_object(facts: VersionFacts) -> dict[str, Any]:
    return asdict(facts) | {"exported": facts.exported.isoformat(timespec="seconds")}


def table(found: list[VersionFacts]) -> Iterator[str]:
    rows = [HEADER, *map(row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join(padded).rstrip()


def row(facts: VersionFacts) -> tuple[str, ...]:
    state = f"{facts.state}: {facts.fault}" if facts.fault else facts.state
    known = (str(text or "-") for text in (facts.name, facts.dtype, facts.device))
    size = f"{facts.size_bytes / 1e6:.1f} MB"
    return (str(facts.version), state, *known, size, f"{facts.exported:%Y-%m-%d %H:%M}")
