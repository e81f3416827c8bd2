"""Triton's configurations in a repository: installed and kept up to date.

A file as an earlier release shipped it is replaced by the current one. Any other content is an
operator's edit and stays.
"""

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from spanqa_model.repository.files import write_whole

CONFIGURATIONS = Path(__file__).parent

# sha256 of the files of earlier releases. Whoever changes a file adds the sha256 from before.
SUPERSEDED = {
    "config.pbtxt": {
        "2680ccd307d997c60b0f1f6ded6b0279c63488c3a053754f3db3f14dc40bdd40",
        "3c28bb9198a6cc4f858df277a7241c36e8a7b34509792c4275b5c83f54c7d2b6",
        "96b128b551e31a0b60047dc68f14603aaf1efca48963f0d6a5e899ecee9304ef",
    },
    "configs/embedded.pbtxt": {
        "600d2e92e6ea94a26d408d01296548b1555739a221769ae7deaab7131d80631d",
        "04075c5bc2590a45d31f93809a9adbf6791332477d447ec306db3ee32016989f",
        "6e8361112dea1afd99f6efefb741f8288e8924952fc419a53d2c28192dd7d290",
        "60e3812071c47b8591aedf8566ef7edcb94242d5a520edae51a6f04e9e7c7761",
    },
}
CONFIGURATION_FILES = tuple(SUPERSEDED)

log = logging.getLogger(__name__)


def outdated_configurations(model: Path) -> list[str]:
    """The configurations that a model's directory lacks or has from an earlier release.

    Logs a warning for each one that somebody edited.
    """
    outdated = []
    for relative in CONFIGURATION_FILES:
        ours, installed = CONFIGURATIONS / relative, model / relative
        content = read_if_there(installed)
        if content is None or hashlib.sha256(content).hexdigest() in SUPERSEDED[relative]:
            outdated.append(relative)
        elif content != ours.read_bytes():
            log.warning(
                "%s was edited and stays as it is; compare it with that of this release, %s",
                installed,
                ours,
            )
    return outdated


def install_configurations(model: Path, files: Iterable[str], workspace: Path) -> None:
    """Write the current content of these configurations, each atomically.

    Args:
        model: the model's directory in the repository.
        files: some of `CONFIGURATION_FILES`.
        workspace: a directory on the same filesystem that Triton does not poll.
    """
    for relative in files:
        installed = model / relative
        installed.parent.mkdir(exist_ok=True)
        content = (CONFIGURATIONS / relative).read_bytes()
        write_whole(installed, content, workspace / installed.name)


def read_if_there(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
