"""Model versions on disk: complete directories that appear all at once.

A version directory holds model.pt, tokenizer.json, model.json and the embedded server's
model.py. It is written beside the others under a name that Triton does not take for a
version, and renamed when it is complete; it never changes after that.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spanqa_model.errors import ExportError

MODEL_NAME = "bert_qa"
VERSION = re.compile(r"[1-9][0-9]*")
PACKAGE = Path(__file__).parent
CONFIGURATIONS = PACKAGE / "repository"
CONFIGURATION_FILES = ("config.pbtxt", "configs/embedded.pbtxt", "warmup/window_lengths_384")
BACKEND = PACKAGE / "backend" / "model.py"


def next_version(repository: Path) -> int:
    """One more than the newest version, or 1."""
    model = repository / MODEL_NAME
    versions = [int(entry.name) for entry in model.glob("*/") if VERSION.fullmatch(entry.name)]
    return max(versions, default=0) + 1


def version_exists(repository: Path, version: int) -> bool:
    """Whether this version is there (a version that is there is complete)."""
    return (repository / MODEL_NAME / str(version)).exists()


@contextmanager
def staged_version(repository: Path, version: int) -> Iterator[Path]:
    """Yield a directory to fill; when the block ends well it becomes the version.

    Raises:
        ExportError: the version exists, or the repository cannot be written.
    """
    model = repository / MODEL_NAME
    target = model / str(version)
    if target.exists():
        raise ExportError(f"{target} exists and versions never change: choose another --version")
    try:
        install_configurations(model)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=model))
    except OSError as error:
        raise ExportError(f"cannot write to {model}: {error.strerror}") from None
    try:
        staging.chmod(0o755)
        shutil.copyfile(BACKEND, staging / "model.py")
        yield staging
        for file in (*staging.iterdir(), staging):
            sync(file)
        staging.rename(target)
        sync(model)
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def install_configurations(model: Path) -> None:
    """Put Triton's configurations where a fresh repository lacks them."""
    for relative in CONFIGURATION_FILES:
        if not (model / relative).exists():
            (model / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CONFIGURATIONS / relative, model / relative)


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (directory / "model.json").write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
