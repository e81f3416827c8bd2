"""How far logits are from those of float32, and which answers change with them."""

from __future__ import annotations

import torch
from torch import Tensor

from gpu.bench import Batch, Model, run
from gpu.options import Row

MAX_ANSWER_TOKENS = 30
Logits = list[Tensor]


def logits_of(model: Model, batches: list[Batch]) -> Logits:
    """[2, T] of each batch: starts and ends."""
    return [torch.stack(run(model, batch)).float() for batch in batches]


def exactness(expected: Logits, actual: Logits, batches: list[Batch]) -> Row:
    """Absolute differences of all logits, and windows whose best span is another one."""
    difference = torch.cat([(a - b).abs().flatten() for a, b in zip(expected, actual, strict=True)])
    changed = windows = 0
    for want, got, batch in zip(expected, actual, batches, strict=True):
        pairs = zip(best_spans(want, batch), best_spans(got, batch), strict=True)
        outcomes = [a != b for a, b in pairs]
        changed += sum(outcomes)
        windows += len(outcomes)
    return {
        "mean_difference": difference.mean().item(),
        "max_difference": difference.max().item(),
        "logit_deviation": torch.cat([one.flatten() for one in expected]).std().item(),
        "top_answers_changed": changed,
        "windows": windows,
    }


def best_spans(logits: Tensor, batch: Batch) -> list[tuple[int, int]]:
    """The first and last token of each window's best span in its context."""
    lengths = batch.window_lengths.tolist()
    spans = []
    for window, types in zip(
        logits.split(lengths, 1), batch.token_type_ids.split(lengths), strict=True
    ):
        inside = types == 1
        inside[-1] = False  # [SEP]
        scores = window[0][:, None] + window[1][None, :]
        allowed = (inside[:, None] & inside[None, :]).triu().tril(MAX_ANSWER_TOKENS - 1)
        best = int(scores.masked_fill(~allowed, -torch.inf).argmax())
        spans.append(divmod(best, len(types)))
    return spans
