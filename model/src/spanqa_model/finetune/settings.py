"""The settings of a fine-tuning run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from spanqa_model.checkpoints.presets import Source
from spanqa_model.packed_bert.devices import default_dtype

TrainingDtype = Literal["auto", "float32", "bfloat16"]
LEARNING_RATE = 3e-5
LORA_LEARNING_RATE = 1.5e-3


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `spanqa-model finetune`, with the same names."""

    base: Source
    train: Path
    output: Path
    dev: Path | None = None
    limit_train: int | None = None
    limit_dev: int | None = None
    max_sequence_tokens: int = 384
    doc_stride_tokens: int = 128
    epochs: float = 2.0
    learning_rate: float | None = None
    batch_size: int = 12
    gradient_accumulation: int = 1
    warmup_ratio: float = 0.0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    dropout: float | None = None
    seed: int = 0
    lora: bool = False
    lora_rank: int = 32
    lora_alpha: float = 64.0
    dtype: TrainingDtype = "auto"
    save_steps: int = 500
    eval_before: bool = False
    restart: bool = False

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
        lora = (self.lora_rank, self.lora_alpha) if self.lora else (None, None)
        return {
            "--base": base_sha256,
            "--train": train_sha256,
            "--limit-train": self.limit_train,
            "--max-sequence-tokens": self.max_sequence_tokens,
            "--doc-stride-tokens": self.doc_stride_tokens,
            "--epochs": self.epochs,
            "--learning-rate": self.peak_learning_rate,
            "--batch-size": self.batch_size,
            "--gradient-accumulation": self.gradient_accumulation,
            "--warmup-ratio": self.warmup_ratio,
            "--weight-decay": self.weight_decay,
            "--max-grad-norm": self.max_grad_norm,
            "--dropout": self.dropout,
            "--seed": self.seed,
            "--lora": self.lora,
            "--lora-rank": lora[0],
            "--lora-alpha": lora[1],
            "--dtype": "bfloat16" if self.bfloat16 else "float32",
            "--nproc-per-node": processes,
        }
