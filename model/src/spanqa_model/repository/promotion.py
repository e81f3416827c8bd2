"""Notes what somebody decided or measured of a version; servers obey within a second."""

import json
from pathlib import Path
from typing import Any

from spanqa_model.errors import VersionError
from spanqa_model.figures import Figures
from spanqa_model.repository.decisions import change_notes
from spanqa_model.repository.inventory import fault_of, read_manifest
from spanqa_model.repository.versions import (
    served_versions,
    version_exists,
    version_withdrawn,
    withdrawn_versions,
)
from spanqa_model.repository.withdrawal import not_among


def promote(repository: Path, version: int) -> None:
    """Let a version serve, whatever was measured of it, and whether it is held or not.

    Raises:
        VersionError: the version does not exist, is withdrawn or broken, or it cannot be noted.
    """
    directory = served_versions(repository) / str(version)
    if version_withdrawn(repository, version) and not version_exists(repository, version):
        raise VersionError(
            f"version {version} is withdrawn: bring it back with: spanqa-model restore {version}"
        )
    if not version_exists(repository, version):
        raise VersionError(not_among(version, served_versions(repository)))
    if fault := fault_of(directory):
        raise VersionError(f"version {version} is broken ({fault}) and cannot serve: export again")
    change_notes(repository, version, weights_of(directory), decision="promote")


def record_figures(repository: Path, version: int, figures: Figures) -> None:
    """Note what was measured of a version, withdrawn or not.

    Raises:
        VersionError: the version does not exist, or it cannot be noted.
    """
    places = (served_versions(repository), withdrawn_versions(repository))
    for directory in (place / str(version) for place in places):
        if directory.is_dir():
            noted = {"exact_match": figures.exact_match, "f1": figures.f1}
            change_notes(repository, version, weights_of(directory), **noted)
            return
    raise VersionError(not_among(version, served_versions(repository)))


def read_report(path: Path, version: int) -> Figures:
    """The figures in what `spanqa evaluate --json` printed.

    Raises:
        VersionError: it is no such report, it is about another version, or questions failed.
    """
    try:
        report: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise VersionError(f"{path}: {error.strerror}") from None
    except ValueError:
        report = None
    figures = Figures.of(report) if isinstance(report, dict) else Figures()
    if figures.exact_match is None or figures.f1 is None:
        raise VersionError(f"{path}: is not what spanqa evaluate --json prints")
    if (about := report.get("model_version")) != str(version):
        raise VersionError(f"{path}: is about version {about}, not {version}")
    if report.get("answered") != report.get("questions"):
        raise VersionError(f"{path}: some questions failed, and count as 0 there: evaluate again")
    return figures


def weights_of(directory: Path) -> str | None:
    return read_manifest(directory).get("model_sha256")
