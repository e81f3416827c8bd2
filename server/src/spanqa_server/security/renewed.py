"""Files that are read again when they change; the last good content counts until then."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from spanqa_server.errors import StartupError

logger = logging.getLogger(__name__)
Content = TypeVar("Content")
Stamp = tuple[tuple[int, int, int], ...]


class RenewedFiles(Generic[Content]):
    """The content of some files, as of the last time that they were good."""

    def __init__(self, name: str, files: Sequence[Path], read: Callable[[], Content]) -> None:
        """Read them.

        Args:
            name: what messages call them.
            files: those that are watched for changes.
            read: makes the content; raises OSError or ValueError if the files are no good.

        Raises:
            StartupError: they cannot be used.
        """
        self._name = name
        self._files = files
        self._read = read
        try:
            self._stamp = self._stamp_now()
            self.content = read()
        except (OSError, ValueError) as error:
            names = ", ".join(map(str, files))
            raise StartupError(f"cannot use the {name} {names}: {error}") from None

    def renew(self) -> bool:
        """Read them again if they have changed; whether the content is new."""
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return False
            self.content = self._read()
        except (OSError, ValueError) as error:  # being written, or wrong: tried again
            logger.error("the %s changed and cannot be used: %s", self._name, error)
            return False
        self._stamp = stamp
        logger.info("read the changed %s again", self._name)
        return True

    def _stamp_now(self) -> Stamp:
        states = [file.stat() for file in self._files]
        return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)
