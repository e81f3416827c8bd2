"""The options of `spanqa-model finetune`: names, defaults, limits and descriptions."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from typer import Option

from spanqa_model.checkpoints.presets import PRESETS, Source
from spanqa_model.packed_bert.devices import default_dtype

LEARNING_RATE = 3e-5
LORA_LEARNING_RATE = 1.5e-3
# Fields that do not change the weights; --base and --train count by their content.
NEUTRAL = {
    *("output", "revision", "dev", "limit_dev", "skip_bad", "save_steps", "eval_before", "restart"),
}


def count(description: str) -> Any:
    """An option whose value is a whole number, 1 or more."""
    return Option(metavar="N", min=1, help=description)


def number(description: str, *, least: float = 0.0, most: float | None = None) -> Any:
    """An option whose value is a number, 0 or more if nothing else is said."""
    return Option(metavar="X", min=least, max=most, help=description)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field is an option of the command with the same name."""

    train: Annotated[
        list[Path],
        Option(
            metavar="FILE",
            help="Training questions: SQuAD, or rows as JSON, CSV or Parquet. May be repeated.",
        ),
    ]
    output: Annotated[
        Path, Option(metavar="DIR", help="The directory for checkpoints and the result.")
    ]
    base: Annotated[
        str,
        Option(
            metavar="DIR|ID|PRESET",
            help="The model to train: a directory, a hub id, or a preset (without its adapter).",
        ),
    ] = "minilm-squad"
    revision: Annotated[str, Option(metavar="COMMIT", help="The hub revision of --base.")] = ""
    dev: Annotated[
        list[Path] | None,
        Option(
            metavar="FILE",
            help="Questions to evaluate on at the end, in the same formats. May be repeated.",
        ),
    ] = None
    skip_bad: Annotated[
        bool,
        Option(
            "--skip-bad",
            help="Leave out training questions whose answers are blank, missing or not in the "
            "text, even if they are more than 1 %.",
        ),
    ] = False
    limit_train: Annotated[
        int | None, count("Use only N questions, evenly spread over --train.")
    ] = None
    limit_dev: Annotated[int | None, count("Use only N questions, evenly spread over --dev.")] = (
        None
    )
    lora: Annotated[
        bool, Option("--lora", help="Train only a LoRA adapter, the LayerNorms and the head.")
    ] = False
    lora_rank: Annotated[int, count("The rank of the LoRA matrices.")] = 32
    lora_alpha: Annotated[float, number("LoRA's scale is alpha / rank.")] = 64.0
    epochs: Annotated[float, number("Epochs; may be a fraction, such as 2.2.", least=0.01)] = 2.0
    learning_rate: Annotated[
        float | None,
        number(
            f"The peak learning rate. Default: {LEARNING_RATE:g}; with --lora "
            f"{LORA_LEARNING_RATE:g}."
        ),
    ] = None
    batch_size: Annotated[int, count("Windows in a batch of each process.")] = 12
    gradient_accumulation: Annotated[int, count("Batches in one optimizer step.")] = 1
    warmup_ratio: Annotated[
        float, number("The share of the steps in which the learning rate rises.", most=1.0)
    ] = 0.0
    weight_decay: Annotated[float, number("AdamW's weight decay.")] = 0.0
    max_grad_norm: Annotated[float, number("Gradients are clipped to this norm.")] = 1.0
    dropout: Annotated[
        float | None,
        number("The dropout probability. Default: that of --base.", most=1.0),
    ] = None
    max_sequence_tokens: Annotated[
        int, Option(metavar="N", help="The length of a window, in tokens.")
    ] = 384
    doc_stride_tokens: Annotated[
        int, Option(metavar="N", help="The overlap of two windows, in tokens.")
    ] = 128
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        Option(
            help="The type of matrix products. auto means bfloat16 if the device has it natively."
        ),
    ] = "auto"
    seed: Annotated[
        int,
        Option(
            min=0,
            metavar="N",
            help="The seed of a new head's weights, of dropout and of the order of examples.",
        ),
    ] = 0
    save_steps: Annotated[int, count("Steps between two checkpoints.")] = 500
    eval_before: Annotated[
        bool, Option("--eval-before", help="Also evaluate --base before the training.")
    ] = False
    restart: Annotated[bool, Option("--restart", help="Empty --output and start again.")] = False

    @property
    def source(self) -> Source:
        """Where --base comes from; a preset stands for its base, without its adapter."""
        if self.base in PRESETS:
            return replace(PRESETS[self.base], adapter=None)
        return Source(name=Path(self.base).name, repository=self.base, revision=self.revision)

    @property
    def peak_learning_rate(self) -> float:
        default = LORA_LEARNING_RATE if self.lora else LEARNING_RATE
        return default if self.learning_rate is None else self.learning_rate

    @property
    def bfloat16(self) -> bool:
        """Whether to multiply in bfloat16: as `dtype` says, or if the device has it natively."""
        if self.dtype != "auto":
            return self.dtype == "bfloat16"
        if torch.cuda.is_available():
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return default_dtype("cpu") == "bfloat16"

    def identity(self, *, base_sha256: str, train_sha256: str, processes: int) -> dict[str, Any]:
        """Everything that determines the weights at each step, by the name of its option."""
        settled = asdict(self) | {
            "base": base_sha256,
            "train": train_sha256,
            "learning_rate": self.peak_learning_rate,
            "dtype": "bfloat16" if self.bfloat16 else "float32",
            "nproc_per_node": processes,
        }
        if not self.lora:
            settled |= {"lora_rank": None, "lora_alpha": None}
        return {
            f"--{name.replace('_', '-')}": value
            for name, value in settled.items()
            if name not in NEUTRAL
        }
