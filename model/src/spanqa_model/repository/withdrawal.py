"""Takes a version out of service and brings it back: one rename each."""

import os
from pathlib import Path

from spanqa_model.errors import VersionError
from spanqa_model.repository.decisions import DEFAULT_MAX_F1_DROP
from spanqa_model.repository.files import GONE, explain, sync
from spanqa_model.repository.inventory import complete_versions, held_in
from spanqa_model.repository.versions import (
    served_versions,
    version_exists,
    version_numbers,
    version_withdrawn,
    withdrawn_versions,
)


def withdraw(
    repository: Path,
    version: int,
    *,
    force: bool = False,
    max_f1_drop: float = DEFAULT_MAX_F1_DROP,
) -> Path:
    """Move a version to a directory that Triton does not poll, and return that directory.

    Args:
        repository: Triton's model repository.
        version: the version's number.
        force: withdraw it even if no version is left that may serve.
        max_f1_drop: the setting of the servers.

    Raises:
        VersionError: the version does not exist, is the last one that may serve, or cannot be
            moved.
    """
    if not version_exists(repository, version):
        if version_withdrawn(repository, version):
            raise VersionError(f"version {version} is already withdrawn")
        raise VersionError(not_among(version, served_versions(repository)))
    if not force:
        refuse_last(repository, version, max_f1_drop)
    return move(version, served_versions(repository), withdrawn_versions(repository))


def restore(repository: Path, version: int) -> Path:
    """Move a withdrawn version back, and return its directory.

    Raises:
        VersionError: the version is not withdrawn, or cannot be moved.
    """
    if not version_withdrawn(repository, version):
        if version_exists(repository, version):
            raise VersionError(f"version {version} is not withdrawn: it is in the repository")
        raise VersionError(not_among(version, withdrawn_versions(repository)))
    return move(version, withdrawn_versions(repository), served_versions(repository))


def refuse_last(repository: Path, version: int, max_f1_drop: float) -> None:
    """Raise VersionError if no version is left that may serve now."""
    complete, held = complete_versions(repository), held_in(repository, max_f1_drop)
    if complete - held.keys() - {version}:
        return
    kept = ", ".join(map(str, sorted(held.keys() - {version})))
    what = (
        f"only held versions are left ({kept})" if kept else "no complete version is left to serve"
    )
    remedy = "promote one" if kept else "export another"
    raise VersionError(f"without version {version} {what}: {remedy} first, or use --force")


def not_among(version: int, directory: Path) -> str:
    numbers = ", ".join(map(str, sorted(version_numbers(directory)))) or "none"
    return f"{directory} has no version {version}; its versions: {numbers}"


def move(version: int, source: Path, target: Path) -> Path:
    """Move a version directory by one rename."""
    before, after = source / str(version), target / str(version)
    if os.path.lexists(after):
        raise VersionError(f"both {before} and {after} exist: remove the wrong one")
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
