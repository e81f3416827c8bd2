"""What Triton sees: links to its backend and to the versions that it may load.

For the embedded Triton they lie in a temporary directory, which a cleaner may thin out while the
server runs: each function adds what is missing.
"""

import sys
from pathlib import Path

from spanqa_server.errors import StartupError
from spanqa_server.versions.repository import MODEL_NAME


def link_backend(package: Path, directory: Path) -> None:
    """Lay out a backend directory with the stub of the running Python version."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = package / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise StartupError(
            f"nvidia-pytriton has no Triton stub for Python {version}: use Python 3.11 or 3.12, "
            "or name a Triton server with --triton HOST:PORT"
        )
    backend = directory / "backends" / "python"
    backend.mkdir(parents=True, exist_ok=True)
    for file in (*(package / "backends" / "python").iterdir(), stub):
        if file.is_file():
            link(backend / file.name, file)


class RepositoryView:
    """A model repository for a Triton of somebody else: links to the versions that it may load."""

    def __init__(self, directory: Path, repository: Path) -> None:
        """Links in `directory`, which Triton polls, to `repository`, at the same path for both."""
        self._view = directory / MODEL_NAME
        self._model = repository.resolve() / MODEL_NAME

    def offer(self, versions: dict[str, Path]) -> None:
        """Let Triton have these versions, and no others, within its next poll."""
        link_configurations(self._view, self._model)
        link_versions(self._view, versions)

    def load_failures(self) -> dict[str, str]:
        """Nothing: Triton itself tells."""
        return {}


def writable_view(directory: Path, repository: Path) -> RepositoryView:
    """The view; raises StartupError where no link can be made there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".probe"
        probe.unlink(missing_ok=True)
        probe.symlink_to(repository)
        probe.unlink()
    except OSError as error:
        raise StartupError(f"--view {directory}: {error.strerror}: it must be writable") from None
    return RepositoryView(directory, repository)


def view_of(directory: Path) -> Path:
    """The model's directory in the repository that Triton sees: links to what it may load.

    Triton loads all versions that it sees or none: a broken one would stop the others.
    """
    return directory / "repository" / MODEL_NAME


def link_configurations(view: Path, model: Path) -> None:
    view.mkdir(parents=True, exist_ok=True)
    for name in ("config.pbtxt", "configs"):
        link(view / name, model / name)


def link_versions(view: Path, versions: dict[str, Path]) -> None:
    """Make the view hold exactly these versions."""
    for entry in view.iterdir():
        if entry.name.isdecimal() and entry.name not in versions:
            entry.unlink()
    for number, directory in versions.items():
        link(view / number, directory.resolve())


def link(path: Path, target: Path) -> None:
    if not path.is_symlink():
        path.symlink_to(target)
