"""Version directories for tests: real ones, with small files."""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spanqa_model.repository.configurations import CONFIGURATION_FILES, SUPERSEDED
from spanqa_model.repository.staging import staged_version, write_manifest
from spanqa_model.repository.versions import MODEL_NAME, withdrawn_versions


def make(
    repository: Path, version: int, content: str = "weights", *, hold: bool = False, **manifest: Any
) -> Path:
    """Make a version as the exporter does; it lacks nothing that a glance would miss."""
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    facts = {"name": "tiny", "dtype": "float32", "device": "cpu", "model_sha256": sha256}
    with staged_version(repository, version, hold=hold) as staging:
        (staging / "model.pt").write_text(content, encoding="utf-8")
        (staging / "tokenizer.json").write_text("{}", encoding="utf-8")
        write_manifest(staging, facts | manifest)
    return repository / MODEL_NAME / str(version)


def snapshot(directory: Path) -> dict[str, tuple[int, int, int]]:
    """What a poll of a directory tells: everything in it, and when it last changed."""
    status = {path: path.stat() for path in (directory, *directory.rglob("*"))}
    return {
        str(path.relative_to(directory)): (one.st_ino, one.st_size, one.st_mtime_ns)
        for path, one in status.items()
    }


def versions_in(repository: Path) -> set[str]:
    """What lies beside the configurations."""
    ours = {Path(name).parts[0] for name in CONFIGURATION_FILES}
    return {path.name for path in (repository / MODEL_NAME).iterdir()} - ours


def let_release_supersede(monkeypatch: pytest.MonkeyPatch, installed: Path, relative: str) -> None:
    """Let an installed configuration be one that an earlier release shipped."""
    content = b"# of an earlier release\n"
    installed.write_bytes(content)
    monkeypatch.setitem(SUPERSEDED, relative, {hashlib.sha256(content).hexdigest()})


def withdraw_by_hand(repository: Path, version: int) -> Path:
    target = withdrawn_versions(repository) / str(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    return (repository / MODEL_NAME / str(version)).rename(target)


@contextmanager
def other_filesystem(than: Path) -> Iterator[Path]:
    """A directory from which nothing can be renamed to `than`."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == than.stat().st_dev:
        pytest.skip("needs a second filesystem at /dev/shm")
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)
