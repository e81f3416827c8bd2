"""Reading files that others may have put there: regular ones only, and never too much."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read it.

    Opening a FIFO would wait for its other end for ever, and a device may never end.

    Raises:
        OSError: it cannot be opened, or is no regular file; `filename` is set.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes; raises OSError as `open_regular` does."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"has more than {most:,} bytes", str(path))
    return content


def opened_to_others(path: Path) -> tuple[str, int]:
    """What every user of the machine may do with a file, "read", "write" or "", and its mode."""
    mode = stat.S_IMODE(path.stat().st_mode)
    allowed = "write" if mode & stat.S_IWOTH else "read" if mode & stat.S_IROTH else ""
    return allowed, mode
