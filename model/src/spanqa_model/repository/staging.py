"""Makes new versions: directories that are filled beside the repository and appear all at once."""

import errno
import json
import os
import py_compile
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

from spanqa_model.errors import ExportError, VersionError
from spanqa_model.repository.configurations import (
    CONFIGURATION_FILES,
    install_configurations,
    outdated_configurations,
)
from spanqa_model.repository.decisions import change_notes, notes_file
from spanqa_model.repository.files import GONE, REMEDY, explain, sync
from spanqa_model.repository.inventory import read_manifest
from spanqa_model.repository.versions import beside, refuse_used, served_versions

BACKEND = Path(__file__).parent / "backend" / "model.py"
WORKSPACE = re.compile(r"[0-9]+-\w+")
STALE_SECONDS = 24 * 3600  # no export takes this long: a process that died left the workspace


@contextmanager
def staged_version(repository: Path, version: int, *, hold: bool = False) -> Iterator[Path]:
    """Yield a directory to fill, with model.py in it; at the end of the block it is the version.

    If the block raises, no version appears. In the model's directory nothing else changes, except
    configurations that are missing or from an earlier release. With `hold` no server uses the
    version until it is promoted.

    Raises:
        ExportError: the version exists or is withdrawn, the repository cannot be written, or its
            parent directory is on another filesystem.
    """
    model = served_versions(repository)
    target = model / str(version)
    refuse_used(repository, version)
    with workspace_beside(repository, f"{version}-") as workspace:
        staging = workspace / "version"
        try:
            staging.mkdir()
            staging.chmod(0o755)  # Triton may run as another user
            shutil.copyfile(BACKEND, staging / "model.py")
            # Triton's Python would write it later, whatever the environment says, and Triton would
            # load a version again that has changed.
            py_compile.compile(
                str(staging / "model.py"), invalidation_mode=PycInvalidationMode.UNCHECKED_HASH
            )
            yield staging
            for file in (*staging.rglob("*"), staging):
                sync(file)
            refuse_used(repository, version)  # again: an export takes minutes
            install_configurations(model, outdated_configurations(model), workspace)
            notes_file(repository, version).unlink(missing_ok=True)  # of a version that was deleted
            if hold:
                sha256 = read_manifest(staging).get("model_sha256")
                change_notes(repository, version, sha256, decision="hold")
            staging.rename(target)
            for directory in {(model / file).parent for file in CONFIGURATION_FILES}:
                sync(directory)
        except OSError as error:
            raise ExportError(f"cannot write {target}: {explain(error)}") from None
        except VersionError as error:
            raise ExportError(str(error)) from None


def update_configurations(repository: Path) -> list[str]:
    """Write the configurations that are missing or from an earlier release; return their names.

    Raises:
        ExportError: as for `staged_version`.
    """
    model = served_versions(repository)
    try:
        if outdated := outdated_configurations(model):
            with workspace_beside(repository, "0-") as workspace:
                install_configurations(model, outdated, workspace)
    except OSError as error:
        raise ExportError(f"cannot update {model}: {explain(error)}") from None
    return outdated


@contextmanager
def workspace_beside(repository: Path, prefix: str) -> Iterator[Path]:
    """Yield a temporary directory on the repository's filesystem, outside of what Triton polls."""
    model, parent = served_versions(repository), beside(repository, ".staging")
    try:
        model.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot write to {model}: {error.strerror}") from None
    if not os.access(model, os.W_OK):
        raise ExportError(f"cannot write to {model}: not permitted, or read-only")
    try:
        workspace = make_workspace(parent, prefix)
    except OSError as error:
        raise ExportError(f"cannot write to {parent}: {error.strerror}; {REMEDY}") from None
    try:
        if workspace.stat().st_dev != model.stat().st_dev:
            raise ExportError(f"{parent} and {model} are on different filesystems; {REMEDY}")
        remove_stale(parent, workspace.stat().st_mtime)
        yield workspace
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
        with suppress(OSError):  # not empty: another export is running
            parent.rmdir()


def make_workspace(parent: Path, prefix: str, attempts: int = 10) -> Path:
    """Make a directory in `parent`, which other exports remove when it is empty."""
    try:
        parent.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        if error.errno not in (*GONE, errno.EEXIST) or attempts == 1:
            raise
    return make_workspace(parent, prefix, attempts - 1)


def remove_stale(parent: Path, now: float) -> None:
    """Remove old workspaces. `now` is the filesystem's time, which may differ from ours."""
    with suppress(OSError):
        for entry in parent.iterdir():
            if WORKSPACE.fullmatch(entry.name) and now - last_change(entry, now) > STALE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)


def last_change(directory: Path, now: float) -> float:
    """The last change of anything in the directory; `now` if it changes at this moment."""
    try:
        return max(path.lstat().st_mtime for path in (directory, *directory.rglob("*")))
    except OSError:
        return now


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    """Write model.json."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (directory / "model.json").write_text(text, encoding="utf-8")
