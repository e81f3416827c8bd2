"""Taking a version out of service and back into it: one rename each, out of Triton's sight."""

import os
from pathlib import Path

from spanqa_model.errors import ModelError
from spanqa_model.inventory import complete_versions
from spanqa_model.versions import (
    GONE,
    explain,
    served_versions,
    sync,
    version_exists,
    version_numbers,
    version_withdrawn,
    withdrawn_versions,
)


class VersionError(ModelError):
    """The version cannot be withdrawn or brought back."""


def withdraw(repository: Path, version: int, *, force: bool = False) -> Path:
    """Move a version to where Triton does not see it; returns that directory.

    Args:
        repository: Triton's model repository.
        version: the version's number.
        force: also where no complete version would be left.

    Raises:
        VersionError: the version is not there, is the last one, or cannot be moved.
    """
    if not version_exists(repository, version):
        if version_withdrawn(repository, version):
            raise VersionError(f"version {version} is withdrawn already")
        raise VersionError(not_among(version, served_versions(repository)))
    if not force and not complete_versions(repository) - {version}:
        raise VersionError(
            f"without version {version} no complete version is left to serve: export another "
            "first, or say --force"
        )
    return move(version, served_versions(repository), withdrawn_versions(repository))


def restore(repository: Path, version: int) -> Path:
    """Bring a withdrawn version back; returns its directory.

    Raises:
        VersionError: the version is not withdrawn, or cannot be moved.
    """
    if not version_withdrawn(repository, version):
        if version_exists(repository, version):
            raise VersionError(f"version {version} is not withdrawn: it is in the repository")
        raise VersionError(not_among(version, withdrawn_versions(repository)))
    return move(version, withdrawn_versions(repository), served_versions(repository))


def not_among(version: int, directory: Path) -> str:
    numbers = ", ".join(map(str, sorted(version_numbers(directory)))) or "none"
    return f"{directory} has no version {version}; there: {numbers}"


def move(version: int, source: Path, target: Path) -> Path:
    """Move a version directory by one rename."""
    before, after = source / str(version), target / str(version)
    if os.path.lexists(after):
        raise VersionError(f"both {before} and {after} are there: remove the wrong one")
    try:
        target.mkdir(parents=True, exist_ok=True)
        before.rename(after)
        sync(target)
        sync(source)
    except OSError as error:
        if error.errno in GONE and not os.path.lexists(before):
            raise VersionError(f"{before} has just been moved or removed") from None
        raise VersionError(f"cannot move {before} to {after}: {explain(error)}") from None
    return after
