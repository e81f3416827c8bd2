"""What Triton polls as its model repository: links to the versions that it may load.

Triton loads all versions that it sees or none, so a broken one would stop the others.
"""

from pathlib import Path

from spanqa_server.errors import StartupError
from spanqa_server.versions.repository import MODEL_NAME


class RepositoryView:
    """A directory of links to versions in the real repository."""

    def __init__(self, directory: Path, repository: Path) -> None:
        """Nothing is linked yet.

        Args:
            directory: what Triton polls.
            repository: the real one, which Triton must see at the same path.
        """
        self._view = directory / MODEL_NAME
        self._model = repository.resolve() / MODEL_NAME

    def offer(self, versions: dict[str, Path]) -> None:
        """Let Triton have these versions, and no others, within its next poll.

        Links that somebody took away, such as a cleaner of temporary directories, come back.
        """
        self._view.mkdir(parents=True, exist_ok=True)
        for name in ("config.pbtxt", "configs"):
            link(self._view / name, self._model / name)
        for entry in self._view.iterdir():
            if entry.name.isdecimal() and entry.name not in versions:
                entry.unlink()
        for number, directory in versions.items():
            link(self._view / number, directory.resolve())

    def load_failures(self) -> dict[str, str]:
        """None: Triton itself reports them."""
        return {}


def writable_view(directory: Path, repository: Path) -> RepositoryView:
    """The view; raises StartupError if no link can be made in its directory."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".probe"
        probe.unlink(missing_ok=True)
        probe.symlink_to(repository)
        probe.unlink()
    except OSError as error:
        raise StartupError(f"--view {directory}: {error.strerror}: it must be writable") from None
    return RepositoryView(directory, repository)


def link(path: Path, target: Path) -> None:
    """Leave a link alone that exists: Triton would load a version again whose link is new."""
    if not path.is_symlink():
        path.symlink_to(target)
