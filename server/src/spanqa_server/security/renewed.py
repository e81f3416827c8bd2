"""Files that are read again when they change; the last good content counts until then."""

import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from spanqa_server.errors import StartupError
from spanqa_server.files import open_regular, opened_to_others

logger = logging.getLogger(__name__)
Content = TypeVar("Content")
Stamp = tuple[tuple[int, ...], ...]


class RenewedFiles(Generic[Content]):
    """The content of some files, as of the last time that they were good."""

    def __init__(
        self,
        name: str,
        files: Sequence[Path],
        read: Callable[[], Content],
        *,
        secret: Collection[Path] = (),
    ) -> None:
        """Read them.

        Args:
            name: what messages call them.
            files: those that are watched for changes.
            read: makes the content; raises OSError or ValueError if the files are no good.
            secret: those of the files that other users should not read.

        Raises:
            StartupError: they cannot be used.
        """
        self._name = name
        self._files = files
        self._make = read
        self._secret = secret
        try:
            self._stamp = self._stamp_now()
            self.content = self._read()
        except (OSError, ValueError) as error:
            names = ", ".join(map(str, files))
            raise StartupError(f"cannot use the {name} {names}: {reason_of(error)}") from None

    def renew(self) -> bool:
        """Read them again if they have changed; whether the content is new."""
        try:
            stamp = self._stamp_now()
            if stamp == self._stamp:
                return False
            self.content = self._read()
        except (OSError, ValueError) as error:  # being written, or wrong: tried again
            logger.error("the %s changed and cannot be used: %s", self._name, reason_of(error))
            return False
        self._stamp = stamp
        logger.info("read the changed %s again", self._name)
        return True

    def _read(self) -> Content:
        for file in self._files:
            check_file(self._name, file, secret=file in self._secret)
        return self._make()

    def _stamp_now(self) -> Stamp:
        states = [file.stat() for file in self._files]
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size, one.st_mode) for one in states)


def reason_of(error: OSError | ValueError) -> str:
    """In words, and which file, without the number of the error."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def check_file(name: str, file: Path, *, secret: bool) -> None:
    """Check that a file can be read at once, and that no other user can change it.

    If others can read one that is secret, the log says so.

    Args:
        name: what messages call it.
        file: one that decides who is let in.
        secret: whether others should not read it.

    Raises:
        OSError: it is not there, or is no regular file.
        ValueError: every user of the machine may write to it.
    """
    open_regular(file).close()  # reading a FIFO would wait for ever
    allowed, mode = opened_to_others(file)
    remedy = f"(mode {mode:04o}); run: chmod o-rwx {file}"
    if allowed == "write":
        raise ValueError(f"{file}: every user of this machine may write to it {remedy}")
    if allowed and secret:
        logger.warning("%s %s: every user of this machine may read it %s", name, file, remedy)
