"""Compares the logits of an exported model with those of the eager float32 module."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spanqa_model.errors import ExportError
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering

Windows = tuple[Tensor, Tensor, Tensor]
CPU = torch.device("cpu")
WINDOWS = 8
# The largest |Δ logit| ÷ largest |logit| that rounding explains between two forms of attention.
AGREEMENT = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Absolute differences of start and end logits over a packed batch of mixed lengths."""

    windows: int
    tokens: int
    mean_difference: float
    max_difference: float
    best_positions_changed: int  # out of 2 · windows: the best start and end of each

    def __str__(self) -> str:
        return (
            f"parity with the eager float32 module on {self.windows} windows "
            f"({self.tokens} tokens): |Δ logit| mean {self.mean_difference:.2e}, "
            f"max {self.max_difference:.2e}; best start or end changed in "
            f"{self.best_positions_changed} of {2 * self.windows}"
        )


def compare(
    eager: PackedBertForQuestionAnswering,
    exported: torch.jit.ScriptModule,
    windows: Windows,
    device: torch.device = CPU,
) -> ParityReport:
    """Run the eager module on a CPU and the exported one on its device, on the same windows."""
    lengths = windows[2]
    expected = logits_of(eager, windows, CPU)
    actual = logits_of(exported, windows, device)
    difference = (expected - actual).abs()
    changed = 0
    for want, got in zip(
        expected.split(lengths.tolist(), 1), actual.split(lengths.tolist(), 1), strict=True
    ):
        changed += int((want.argmax(1) != got.argmax(1)).sum())
    return ParityReport(
        windows=len(lengths),
        tokens=len(windows[0]),
        mean_difference=difference.mean().item(),
        max_difference=difference.max().item(),
        best_positions_changed=changed,
    )


def check_agreement(
    exported: torch.jit.ScriptModule,
    other: torch.jit.ScriptModule,
    dtype: str,
    windows: Windows,
    device: torch.device,
) -> None:
    """Refuse an export whose logits differ from those of another form of attention.

    Raises:
        ExportError: they differ by more than rounding, or the export cannot run on this device.
    """
    expected = logits_of(other, windows, device)
    try:
        actual = logits_of(exported, windows, device)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-200:]
        raise ExportError(
            f"this form of attention fails on this device: …{reason}; use --attention grouped"
        ) from None
    difference = ((expected - actual).abs().max() / expected.abs().max()).item()
    if not difference <= AGREEMENT[dtype]:
        raise ExportError(
            f"the logits differ from those of --attention grouped by {difference:.1%} of the "
            f"largest one, and rounding explains at most {AGREEMENT[dtype]:.1%}; use --attention "
            "grouped"
        )


def logits_of(
    module: PackedBertForQuestionAnswering | torch.jit.ScriptModule,
    windows: Windows,
    device: torch.device = CPU,
) -> Tensor:
    """Start and end logits, [2, T] float32, on the CPU."""
    optimized = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
    with torch.inference_mode(), optimized:
        return torch.stack(module(*(tensor.to(device) for tensor in windows))).cpu()


def sample_windows(vocab_size: int, longest: int) -> Windows:
    """Random windows end to end, the same in each call: int32 [T], [T] and [W].

    One window has `longest` tokens, the others 8 to `longest`.
    """
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, longest + 1, (WINDOWS,), generator=generator)
    lengths[0] = longest
    total = int(lengths.sum())
    input_ids = torch.randint(0, vocab_size, (total,), generator=generator)
    token_type_ids = torch.cat([(torch.arange(n) >= 8).int() for n in lengths.tolist()])
    return input_ids.int(), token_type_ids, lengths.int()
