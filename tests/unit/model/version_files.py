"""Version directories for tests: real ones, with small files."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spanqa_model.versions import MODEL_NAME, staged_version, write_manifest


def make(repository: Path, version: int, content: str = "weights") -> Path:
    """Make a version as the exporter does; it lacks nothing that a glance would miss."""
    with staged_version(repository, version) as staging:
        (staging / "model.pt").write_text(content, encoding="utf-8")
        (staging / "tokenizer.json").write_text("{}", encoding="utf-8")
        write_manifest(staging, {"name": "tiny", "dtype": "float32", "device": "cpu"})
    return repository / MODEL_NAME / str(version)


def snapshot(directory: Path) -> dict[str, tuple[int, int, int]]:
    """What a poll of a directory tells: everything in it, and when it last changed."""
    status = {path: path.stat() for path in (directory, *directory.rglob("*"))}
    return {
        str(path.relative_to(directory)): (one.st_ino, one.st_size, one.st_mtime_ns)
        for path, one in status.items()
    }


@contextmanager
def other_filesystem(than: Path) -> Iterator[Path]:
    """A directory from which nothing can be renamed to `than`."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == than.stat().st_dev:
        pytest.skip("needs a second filesystem at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)
