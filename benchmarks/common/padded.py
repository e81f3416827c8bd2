"""Versions that pad their windows, as BERT is usually served: the same tensors, weights and Triton.

The module takes windows end to end like the packed one, so that the whole service runs on it
unchanged. Inside, each window becomes a row of a matrix, padded to `pad_to` tokens or to the
longest window of the batch where that is more. The rows go through the `transformers` model.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from spanqa_model.packed_bert.torchscript import DTYPES, torchscript_deprecation_accepted

if TYPE_CHECKING:  # a GPU host may have torch alone
    from transformers import BertForQuestionAnswering


class PaddedQuestionAnswering(nn.Module):
    """A model of padded rows behind the packed module's signature."""

    def __init__(self, rows: torch.jit.ScriptModule, pad_to: int) -> None:
        super().__init__()
        self.rows = rows
        self.pad_to = pad_to

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """[T], [T] and [W] int32 → start and end logits, [T] float32 each."""
        lengths = window_lengths.long()
        longest = max(self.pad_to, int(lengths.max()))
        mask = torch.arange(longest, device=lengths.device)[None, :] < lengths[:, None]
        ids = torch.zeros(mask.shape, dtype=torch.long, device=lengths.device)
        types = torch.zeros(mask.shape, dtype=torch.long, device=lengths.device)
        ids[mask] = input_ids.long()
        types[mask] = token_type_ids.long()
        starts, ends = self.rows(ids, types, mask.long())
        return starts.float()[mask], ends.float()[mask]


class Rows(nn.Module):
    """The `transformers` model, with a tuple as its result."""

    def __init__(self, model: BertForQuestionAnswering) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(input_ids=ids, token_type_ids=types, attention_mask=mask)
        return output.start_logits, output.end_logits


def padded_module(
    model: BertForQuestionAnswering, dtype: str, pad_to: int
) -> torch.jit.ScriptModule:
    """Trace the model with its weights in `dtype`, on the device where it is, and wrap it."""
    model = model.to(DTYPES[dtype]).eval()
    example = torch.ones((2, 9), dtype=torch.long, device=model.device)
    with torchscript_deprecation_accepted(), torch.inference_mode():
        rows = torch.jit.trace(Rows(model), (example, example, example), check_trace=False)
        wrapped: torch.jit.ScriptModule = torch.jit.script(PaddedQuestionAnswering(rows, pad_to))
    return wrapped


def write_padded_version(version: Path, module: torch.jit.ScriptModule, target: Path) -> None:
    """A copy of a version that runs this module."""
    from spanqa_model.checkpoints.fetching import sha256_of

    shutil.copytree(version, target, ignore=shutil.ignore_patterns("model.pt"))
    module.save(str(target / "model.pt"))
    manifest = json.loads((target / "model.json").read_text())
    manifest["model_sha256"] = sha256_of(target / "model.pt")
    (target / "model.json").write_text(json.dumps(manifest))
