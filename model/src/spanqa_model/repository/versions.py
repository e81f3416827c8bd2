"""Where the versions of a model repository lie, and which numbers are in use.

Triton polls the whole repository. It takes every directory in the root for a model, and after any
change in a model's directory, even in a hidden entry, it reloads what serves. So new and withdrawn
versions lie in directories beside the repository, on the same filesystem. One rename moves a
version in or out.
"""

import errno
import os
import re
from pathlib import Path

from spanqa_model.errors import ExportError
from spanqa_model.repository.files import GONE

MODEL_NAME = "bert_qa"
VERSION = re.compile(r"[1-9][0-9]*")


def served_versions(repository: Path) -> Path:
    """The directory of the versions that Triton can see."""
    return repository / MODEL_NAME


def withdrawn_versions(repository: Path) -> Path:
    """The directory of the withdrawn versions."""
    return beside(repository, ".withdrawn") / MODEL_NAME


def beside(repository: Path, suffix: str) -> Path:
    """`REPOSITORY` + suffix, a sibling of the repository; symbolic links are followed first."""
    real = repository.resolve()
    return real.parent / f"{real.name}{suffix}"


def version_numbers(directory: Path) -> set[int]:
    """The numbers of the version directories in a directory, which may be missing.

    Raises:
        ExportError: the directory exists but cannot be read.
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
    """One more than the highest number in use, withdrawn versions included; 1 if there is none."""
    served, withdrawn = served_versions(repository), withdrawn_versions(repository)
    return max(version_numbers(served) | version_numbers(withdrawn), default=0) + 1


def version_exists(repository: Path, version: int) -> bool:
    """Whether Triton can see this version."""
    return os.path.lexists(served_versions(repository) / str(version))


def version_withdrawn(repository: Path, version: int) -> bool:
    return os.path.lexists(withdrawn_versions(repository) / str(version))


def refuse_used(repository: Path, version: int) -> None:
    """Raise ExportError if a version, withdrawn or not, has this number."""
    if version_exists(repository, version):
        target = served_versions(repository) / str(version)
        raise ExportError(
            f"{target} already exists and versions never change: choose another --version"
        )
    if version_withdrawn(repository, version):
        raise ExportError(
            f"version {version} is withdrawn and no number is used twice: choose another "
            f"--version, or bring it back with: spanqa-model restore {version}"
        )
