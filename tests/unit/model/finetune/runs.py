"""Small runs in this process."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from spanqa_model.finetune.progress import Reporter
from spanqa_model.finetune.run import finetune
from spanqa_model.finetune.settings import Settings

OPTIONS = (
    *("--max-sequence-tokens", "48", "--doc-stride-tokens", "8", "--epochs", "1"),
    *("--batch-size", "16", "--dtype", "float32"),
)


class Outcome(NamedTuple):
    """How a command ended: its exit code, or the message that `sys.exit` prints; and its output."""

    code: str | int | None
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line of a foreseen failure, for which the exit code is 1."""
        assert isinstance(self.code, str), self
        assert self.code.startswith("spanqa-model: ")
        assert "\n" not in self.code
        return self.code


Shell = Callable[..., Outcome]
SMALL: dict[str, Any] = {
    "max_sequence_tokens": 48,
    "doc_stride_tokens": 8,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "dtype": "float32",
    "save_steps": 3,
}


def settings(base: Path, train: Path, output: Path, **changes: Any) -> Settings:
    changes = SMALL | changes
    if "dev" in changes:
        changes["dev"] = [changes["dev"]]
    return Settings(base=str(base), train=[train], output=output, **changes)


def run(base: Path, train: Path, output: Path, **changes: Any) -> tuple[dict[str, Any], str]:
    """Fine-tune; returns what metrics.json holds and what was shown."""
    shown = io.StringIO()
    metrics = finetune(settings(base, train, output, **changes), Reporter(Console(file=shown)))
    assert metrics is not None
    return metrics, shown.getvalue()


def result_weights(output: Path) -> dict[str, Tensor]:
    (file,) = output.glob("*.safetensors")
    return load_file(file)
