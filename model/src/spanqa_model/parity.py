"""How far an exported model's logits are from the eager float32 module's."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from spanqa_model.bert import PackedBertForQuestionAnswering
from spanqa_model.build import torchscript_deprecation_accepted

WINDOWS = 8


@dataclass(frozen=True, slots=True)
class ParityReport:
    """Absolute differences of start and end logits over a packed batch of mixed lengths."""

    windows: int
    tokens: int
    mean_difference: float
    max_difference: float
    best_positions_changed: int  # of 2 · windows: best start and best end of each

    def __str__(self) -> str:
        return (
            f"parity with the eager float32 module on {self.windows} windows "
            f"({self.tokens} tokens): |Δ logit| mean {self.mean_difference:.2e}, "
            f"max {self.max_difference:.2e}; best start or end changed in "
            f"{self.best_positions_changed} of {2 * self.windows}"
        )


def compare(
    eager: PackedBertForQuestionAnswering, model_file: Path, vocab_size: int, longest: int
) -> ParityReport:
    """Run the module and the saved TorchScript on the same made-up windows (fixed seed)."""
    with torchscript_deprecation_accepted():
        exported = torch.jit.load(str(model_file), map_location="cpu")
    input_ids, token_type_ids, lengths = sample_windows(vocab_size, longest)
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        expected = torch.stack(eager(input_ids, token_type_ids, lengths))
        actual = torch.stack(exported(input_ids, token_type_ids, lengths))
    difference = (expected - actual).abs()
    changed = 0
    for want, got in zip(
        expected.split(lengths.tolist(), 1), actual.split(lengths.tolist(), 1), strict=True
    ):
        changed += int((want.argmax(1) != got.argmax(1)).sum())
    return ParityReport(
        windows=len(lengths),
        tokens=len(input_ids),
        mean_difference=difference.mean().item(),
        max_difference=difference.max().item(),
        best_positions_changed=changed,
    )


def sample_windows(vocab_size: int, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, longest + 1, (WINDOWS,), generator=generator)
    lengths[0] = longest
    total = int(lengths.sum())
    input_ids = torch.randint(0, vocab_size, (total,), generator=generator)
    token_type_ids = torch.cat([(torch.arange(n) >= 8).int() for n in lengths.tolist()])
    return input_ids.int(), token_type_ids, lengths.int()
