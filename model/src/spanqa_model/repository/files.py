"""Files on disk: written atomically, synchronized, and their errors in words."""

import errno
import os
from pathlib import Path

GONE = (errno.ENOENT, errno.ESTALE)  # another process, or another host, was faster
REMEDY = (
    "versions are made and withdrawn by a rename between the repository and its parent directory: "
    "mount the volume one level up, with the repository as a directory in it"
)


def explain(error: OSError) -> str:
    """The reason of an error, with the remedy if the rename would cross filesystems."""
    reason = error.strerror or str(error)
    return f"{reason}; {REMEDY}" if error.errno == errno.EXDEV else reason


def write_whole(path: Path, content: bytes, draft: Path) -> None:
    """Write a file atomically: readers see the old content or the new one.

    `draft` is a file on the same filesystem, which is written first and then renamed.
    """
    draft.write_bytes(content)
    sync(draft)
    draft.replace(path)


def sync(path: Path) -> None:
    """Flush a file or a directory to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
