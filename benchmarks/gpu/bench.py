"""What sections share: weights, batches, and how a model's speed and exactness are measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.common.shapes import BERT_LARGE, SMALL
from benchmarks.gpu.options import MissingError, Options, Row
from benchmarks.gpu.windows import Windows, load_windows
from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering

Model = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
Logits = list[Tensor]
WARM_UPS, FEWEST_ROUNDS, MOST_ROUNDS = 2, 3, 20


class Batch(NamedTuple):
    """Windows end to end on the device: int32 [T], [T] and [W]."""

    input_ids: Tensor
    token_type_ids: Tensor
    window_lengths: Tensor


def usable(name: str) -> torch.device:
    """The device, made the current one.

    Raises:
        MissingError: torch cannot use it.
    """
    if name != "cpu":
        if not torch.cuda.is_available():
            raise MissingError(
                f"torch {torch.__version__} sees no CUDA GPU: install its CUDA build and check "
                "nvidia-smi, or try the script with --device cpu --small"
            )
        try:
            torch.cuda.set_device(name)
        except (RuntimeError, ValueError) as error:
            raise MissingError(f"--device {name}: {' '.join(str(error).split())}") from None
    return torch.device(name)


class Bench:
    """A device, windows, and BERT-large's shape with random weights."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.small = options.small
        self.device = usable(options.device)
        self.dtype = "float16" if self.device.type == "cuda" else "float32"
        self.batch_windows = 4 if self.small else 32
        self.windows: Windows = load_windows(options, 16 if self.small else 256)

    @cache  # noqa: B019 (one bench a process)
    def module(self, attention: str = "grouped") -> PackedBertForQuestionAnswering:
        """The packed module, float32, with the attention that is exported for GPUs, or another."""
        shape = SMALL if self.small else BERT_LARGE
        config = BertConfig(
            **shape,
            max_position_embeddings=512,
            type_vocab_size=2,
            layer_norm_eps=1e-12,
            hidden_act="gelu",
        )
        torch.manual_seed(0)
        with self.device:
            module = PackedBertForQuestionAnswering(config, attention)
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                nn.init.normal_(part.weight, std=0.02)
            if isinstance(part, nn.Linear):
                nn.init.zeros_(part.bias)
        return module.requires_grad_(False).eval()

    def batches(self, size: int, most: int = 8) -> list[Batch]:
        """Up to `most` batches of `size` windows, each window in one of them."""
        most = min(most, 2) if self.small else most
        lengths = self.windows.window_lengths
        ends = np.concatenate([[0], np.cumsum(lengths)])
        made = []
        for begin in range(0, len(lengths) - size + 1, size)[:most]:
            tokens = slice(ends[begin], ends[begin + size])
            arrays = (
                self.windows.input_ids[tokens],
                self.windows.token_type_ids[tokens],
                lengths[begin : begin + size],
            )
            made.append(Batch(*(torch.from_numpy(one).to(self.device) for one in arrays)))
        if not made:
            raise ValueError(f"{len(lengths)} windows are too few for a batch of {size}")
        return made


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of rounds (every batch once), and memory taken while running."""

    rounds: list[float]
    working_bytes: int

    @property
    def seconds(self) -> float:
        return statistics.median(self.rounds)


def measure(model: Model, batches: list[Batch], seconds: float) -> Measured:
    """Run all batches again and again: the warm-up, three rounds, more while there is time."""
    device = batches[0].input_ids.device
    begin = perf_counter()
    held = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
    for _ in range(WARM_UPS):
        round_seconds(model, batches)
    taken: list[float] = []
    while len(taken) < FEWEST_ROUNDS or (
        len(taken) < MOST_ROUNDS and perf_counter() - begin < seconds
    ):
        taken.append(round_seconds(model, batches))
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Measured(taken, peak - held)


def round_seconds(model: Model, batches: list[Batch]) -> float:
    """Every batch once; by the device's own clock where it has one."""
    if batches[0].input_ids.device.type != "cuda":
        begin = perf_counter()
        for batch in batches:
            run(model, batch)
        return perf_counter() - begin
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    first.record()
    for batch in batches:
        run(model, batch)
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 1e3


def run(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """One pass as Triton makes it: no gradients, no specializing on lengths that never repeat."""
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        starts, ends = model(*batch)
    return starts, ends


def speed(measured: Measured, batches: list[Batch], module: PackedBertForQuestionAnswering) -> Row:
    """Rates of real windows and real tokens: padding earns nothing."""
    windows = sum(len(batch.window_lengths) for batch in batches)
    tokens = sum(len(batch.input_ids) for batch in batches)
    per_token = 2 * sum(
        parameter.numel()
        for name, parameter in module.named_parameters()
        if parameter.dim() == 2 and "embeddings" not in name
    )
    return {
        "windows_per_second": windows / measured.seconds,
        "tokens_per_second": tokens / measured.seconds,
        "tflops": per_token * tokens / measured.seconds / 1e12,
        "ms_per_batch": measured.seconds / len(batches) * 1e3,
        "fastest_ms": min(measured.rounds) / len(batches) * 1e3,
        "slowest_ms": max(measured.rounds) / len(batches) * 1e3,
        "rounds": len(measured.rounds),
        "working_mib": measured.working_bytes / 2**20,
    }


def logits_of(model: Model, batches: list[Batch]) -> Logits:
    """[2, T] of each batch: starts and ends."""
    return [torch.stack(run(model, batch)).float() for batch in batches]


def difference(expected: Logits, actual: Logits) -> Row:
    """Absolute differences of all logits."""
    found = torch.cat([(a - b).abs().flatten() for a, b in zip(expected, actual, strict=True)])
    return {"mean_difference": found.mean().item(), "max_difference": found.max().item()}
