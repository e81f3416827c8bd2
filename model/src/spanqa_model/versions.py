"""Model versions on disk: complete directories that appear all at once.

A version directory holds model.pt, tokenizer.json, model.json and the embedded server's
model.py. It never changes once it is there.

Triton polls the whole repository: a directory in its root is a model, and anything that changes
in a model's directory, hidden entries too, makes Triton load again what serves. So versions are
made, and kept when they are withdrawn, in directories beside the repository on the same
filesystem, and come and go by one rename.
"""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from spanqa_model.configurations import (
    CONFIGURATION_FILES,
    install_configurations,
    outdated_configurations,
)
from spanqa_model.errors import ExportError

MODEL_NAME = "bert_qa"
VERSION = re.compile(r"[1-9][0-9]*")
WORKSPACE = re.compile(r"[0-9]+-\w+")
BACKEND = Path(__file__).parent / "backend" / "model.py"
# No export takes as long; what is older was left by one that died.
STALE_SECONDS = 24 * 3600
GONE = (errno.ENOENT, errno.ESTALE)  # somebody else was faster, here or on another host
REMEDY = (
    "versions come and go by a rename from beside the repository: mount the volume one level up, "
    "with the repository as a directory in it"
)


def served_versions(repository: Path) -> Path:
    """The directory of the versions that Triton sees."""
    return repository / MODEL_NAME


def withdrawn_versions(repository: Path) -> Path:
    """The directory of the versions that were withdrawn."""
    return beside(repository, ".withdrawn") / MODEL_NAME


def beside(repository: Path, suffix: str) -> Path:
    real = repository.resolve()
    return real.parent / f"{real.name}{suffix}"


def version_numbers(directory: Path) -> set[int]:
    """The numbers of the version directories in there.

    Raises:
        ExportError: the directory is there and cannot be read.
    """
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        if error.errno in (*GONE, errno.ENOTDIR):
            return set()
        raise ExportError(f"cannot read {directory}: {error.strerror}") from None
    return {int(name) for name in names if VERSION.fullmatch(name)}


def next_version(repository: Path) -> int:
    """One more than the newest version, withdrawn or not, or 1."""
    served, withdrawn = served_versions(repository), withdrawn_versions(repository)
    return max(version_numbers(served) | version_numbers(withdrawn), default=0) + 1


def version_exists(repository: Path, version: int) -> bool:
    """Whether Triton sees this version (one made by an export is complete)."""
    return os.path.lexists(served_versions(repository) / str(version))


def version_withdrawn(repository: Path, version: int) -> bool:
    return os.path.lexists(withdrawn_versions(repository) / str(version))


def refuse_used(repository: Path, version: int) -> None:
    """Raise ExportError where the number has been given to a version."""
    if version_exists(repository, version):
        target = served_versions(repository) / str(version)
        raise ExportError(f"{target} exists and versions never change: choose another --version")
    if version_withdrawn(repository, version):
        raise ExportError(
            f"version {version} is withdrawn and no number is used twice: choose another "
            f"--version, or bring it back with: spanqa-model restore {version}"
        )


@contextmanager
def staged_version(repository: Path, version: int) -> Iterator[Path]:
    """Yield a directory to fill; when the block ends well it becomes the version.

    Nothing else changes in the model's directory, but for configurations that are missing there
    or that an earlier release shipped.

    Raises:
        ExportError: the version exists or is withdrawn, the repository cannot be written, or
            there is no room beside it on its filesystem.
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
            yield staging
            for file in (*staging.iterdir(), staging):
                sync(file)
            refuse_used(repository, version)  # an export takes minutes
            install_configurations(model, outdated_configurations(model), workspace)
            staging.rename(target)
            for directory in {(model / file).parent for file in CONFIGURATION_FILES}:
                sync(directory)
        except OSError as error:
            raise ExportError(f"cannot write {target}: {explain(error)}") from None


def update_configurations(repository: Path) -> list[str]:
    """Replace configurations that are missing or that an earlier release shipped; names them.

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
    """A directory of the caller's own, from where a rename into the repository can work."""
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
        with suppress(OSError):  # not empty: another export is at work
            parent.rmdir()


def make_workspace(parent: Path, prefix: str, attempts: int = 10) -> Path:
    """Make a directory in a parent that others remove whenever it is empty."""
    try:
        parent.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        if error.errno not in (*GONE, errno.EEXIST) or attempts == 1:
            raise
    return make_workspace(parent, prefix, attempts - 1)


def remove_stale(parent: Path, now: float) -> None:
    """Remove what dead exports left. `now` is by the filesystem's clock, which may not be ours."""
    with suppress(OSError):
        for entry in parent.iterdir():
            if WORKSPACE.fullmatch(entry.name) and now - last_change(entry, now) > STALE_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)


def last_change(directory: Path, now: float) -> float:
    """When something in there last changed; `now` where it changes at this moment."""
    try:
        return max(path.lstat().st_mtime for path in (directory, *directory.rglob("*")))
    except OSError:
        return now


def explain(error: OSError) -> str:
    """What went wrong, and what to do where the filesystems are the reason."""
    reason = error.strerror or str(error)
    return f"{reason}; {REMEDY}" if error.errno == errno.EXDEV else reason


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (directory / "model.json").write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
