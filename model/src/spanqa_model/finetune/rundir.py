"""The output directory of a run: its settings, its checkpoints, and how far it got.

`finetune.json` records the settings of the run and whether its weights are saved; it is replaced
atomically. A checkpoint is complete once it has its marker file, which is written last. Of all
files, `metrics.json` is written last.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from spanqa_model.checkpoints.training_figures import METRICS
from spanqa_model.errors import FinetuneError, first_line
from spanqa_model.repository.files import sync, write_whole

STATE = "finetune.json"
MARKER = "complete"
CHECKPOINTS = "checkpoint-*"


class RunDirectory:
    """The output directory of a run; `state` is the content of finetune.json.

    Its methods raise FinetuneError if the directory belongs to another run or a finished one, or
    cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state: dict[str, Any] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the directory if it is missing, and lock it against other runs.

        If the block cannot write a file, that is a FinetuneError too.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise FinetuneError(f"--output {self.path}: {error.strerror}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FinetuneError(f"--output {self.path}: another run is using it") from None
            try:
                yield
            except (OSError, SafetensorError) as error:
                raise cannot_write(self.path, error) from None
        finally:
            os.close(descriptor)

    def begin(self, identity: dict[str, Any], *, restart: bool) -> None:
        """Start a run here, or continue the run that was started with the same identity."""
        if (self.path / STATE).exists() and restart:
            self.clear()
        self.load()
        if not self.state:
            self._draft(STATE).unlink(missing_ok=True)
            if any(self.path.iterdir()):
                raise FinetuneError(
                    f"--output {self.path}: holds unrelated files; choose another directory"
                )
            self.update(settings=identity)
        self._check_identity(identity)
        if (self.path / METRICS).exists():
            raise FinetuneError(
                f"--output {self.path}: already finished ({METRICS} exists); choose another "
                "directory, or start again with --restart"
            )
        self.remove_checkpoints(keep=self.last_checkpoint())

    def load(self) -> None:
        """Read finetune.json; if it is missing, the state is empty."""
        try:
            self.state = json.loads((self.path / STATE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.state = {}
        except (OSError, ValueError) as error:
            raise FinetuneError(
                f"{self.path / STATE}: not readable ({error}); start again with --restart"
            ) from None

    def update(self, **changes: Any) -> None:
        """Change the state, in memory and on disk."""
        self.state |= changes
        self.write(STATE, self.state)

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file atomically."""
        text = json.dumps(content, indent=2) + "\n"
        write_whole(self.path / name, text.encode(), self._draft(name))
        sync(self.path)

    def _draft(self, name: str) -> Path:
        return self.path / f".{name}.new"

    def clear(self) -> None:
        """Remove everything in the directory, finetune.json last."""
        self.remove_checkpoints()
        for entry in sorted(self.path.iterdir(), key=lambda entry: entry.name == STATE):
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def last_checkpoint(self) -> Path | None:
        """The complete checkpoint with the most steps; None if there is none."""
        complete = [marker.parent for marker in self.path.glob(f"{CHECKPOINTS}/{MARKER}")]
        return max(complete, key=checkpoint_step, default=None)

    def remove_checkpoints(self, keep: Path | None = None) -> None:
        for checkpoint in self.path.glob(CHECKPOINTS):
            if checkpoint != keep:
                # The marker goes first, so that a partly removed checkpoint is incomplete.
                (checkpoint / MARKER).unlink(missing_ok=True)
                shutil.rmtree(checkpoint)

    def _check_identity(self, identity: dict[str, Any]) -> None:
        begun = self.state.get("settings", {})
        for name, value in identity.items():
            if begun.get(name) != value:
                change = f"{begun.get(name)}, not {value}"
                if name in ("--base", "--train"):
                    change = "other data"
                raise FinetuneError(
                    f"--output {self.path}: was started with {name} {change}; use the same "
                    "settings, choose another --output, or start again with --restart"
                )


def cannot_write(directory: Path, error: Exception) -> FinetuneError:
    return FinetuneError(
        f"cannot write to {directory}: {first_line(error)}; once it can be written, the same "
        "command continues"
    )


def checkpoint_step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def is_last(checkpoint: Path) -> bool:
    """Whether this checkpoint is that of the last training step."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return bool(state["global_step"] >= state["max_steps"])


def complete_checkpoint(checkpoint: Path) -> None:
    """Flush a checkpoint to disk, then mark it as complete."""
    for file in (*checkpoint.iterdir(), checkpoint):
        sync(file)
    (checkpoint / MARKER).touch()
    sync(checkpoint)
