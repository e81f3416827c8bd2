"""Other ways to compute the packed model: attention, linear layers, executors.

Each variant is the present module with one thing exchanged, so that a table of them says what
that thing is worth.
"""

from __future__ import annotations

import copy
import io
import runpy
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from gpu.attention import OneGroupPlanner, with_attention
from spanqa_model.attention import GroupedSelfAttention, SelfAttention, WindowedSelfAttention
from spanqa_model.bert import BertResidualOutput, PackedBertForQuestionAnswering
from spanqa_model.build import DTYPES, torchscript_deprecation_accepted
from spanqa_model.grouping import GroupedPlanner
from spanqa_model.onednn import OneDnnLinear, use_onednn
from spanqa_model.plan import Plan, Planner, WindowedPlanner
from spanqa_model.versions import BACKEND

Arrays = tuple[npt.NDArray[np.int32], ...]
Change = Callable[[PackedBertForQuestionAnswering], None]


class SdpaByWindow(WindowedSelfAttention):
    """`scaled_dot_product_attention` for each window."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        qkv = self.qkv(hidden).view(1, -1, 3, self.num_attention_heads, self.head_size)
        qkv = qkv.permute(2, 0, 3, 1, 4)
        context: list[Tensor] = []
        begin = 0
        for length in plan.lengths:
            window = qkv[:, :, :, begin : begin + length]
            attended = functional.scaled_dot_product_attention(window[0], window[1], window[2])
            context.append(attended.transpose(1, 2).flatten(2))
            begin += length
        return torch.cat(context, 1).squeeze(0)


class FloatScores(WindowedSelfAttention):
    """The parts for each window, scores and softmax in float32 whatever the dtype."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        qkv = qkv.permute(1, 2, 0, 3)
        context: list[Tensor] = []
        begin = 0
        for length in plan.lengths:
            window = qkv[:, :, begin : begin + length]
            query = window[0].float() * self.head_size**-0.5
            scores = torch.bmm(query, window[1].float().transpose(1, 2))
            attended = torch.bmm(scores.softmax(-1).to(hidden.dtype), window[2])
            context.append(attended.transpose(0, 1).flatten(1))
            begin += length
        return torch.cat(context)


class PartsPadded(SelfAttention):
    """Matrix product, masked softmax, matrix product over padded rows."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        qkv = self.qkv(hidden)
        context: list[Tensor] = []
        for group in plan.groups:
            windows, length = group.mask.size(0), group.mask.size(3)
            shape = [windows, length, 3, self.num_attention_heads, self.head_size]
            heads = qkv.index_select(0, group.places).view(shape).permute(2, 0, 3, 1, 4)
            scores = torch.matmul(heads[0], heads[1].transpose(2, 3)).mul_(self.head_size**-0.5)
            attended = torch.matmul(scores.add_(group.mask).softmax(-1), heads[2])
            context.append(attended.transpose(1, 2).flatten(2).flatten(0, 1))
        return torch.cat(context).index_select(0, plan.back)


class FusedResidual(OneDnnLinear):
    """oneDNN's linear layer that adds the residual as well."""

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:  # type: ignore[override]
        output: Tensor = torch.ops.mkldnn._linear_pointwise(
            hidden, residual, self.weight, self.bias, "add"
        )
        return output


class FusedResidualOutput(nn.Module):
    """`BertResidualOutput` on it."""

    def __init__(self, plain: BertResidualOutput) -> None:
        super().__init__()
        self.dense = FusedResidual(plain.dense)
        self.LayerNorm = plain.LayerNorm

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        normalized: Tensor = self.LayerNorm(self.dense(hidden, residual))
        return normalized


def fuse_residuals(module: PackedBertForQuestionAnswering) -> None:
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, BertResidualOutput):
                setattr(part, name, FusedResidualOutput(child))


def keep(module: PackedBertForQuestionAnswering) -> None:
    """Change nothing."""


def with_linear(name: str) -> Change:
    """Exchange the linear layers of a module that has its dtype already."""

    def change(module: PackedBertForQuestionAnswering) -> None:
        if name == "residual fused":
            fuse_residuals(module)
        if name != "nn.Linear":
            use_onednn(module)

    return change


def scripted(
    module: PackedBertForQuestionAnswering,
    dtype: str,
    *changes: Change,
) -> torch.jit.ScriptModule:
    """The module in `dtype`, changed, as a backend has it after loading."""
    changed = copy.deepcopy(module).to(DTYPES[dtype])
    changed.qa_outputs.float()
    for change in changes:
        change(changed)
    buffer = io.BytesIO()
    with torchscript_deprecation_accepted():
        torch.jit.save(torch.jit.script(changed), buffer)
        buffer.seek(0)
        loaded: torch.jit.ScriptModule = torch.jit.load(buffer)
    return loaded.eval()


@dataclass(frozen=True, slots=True)
class Variant:
    """A script, and how it is run."""

    script: torch.jit.ScriptModule
    optimized: bool = False
    fusion: int = 2  # shapes that the optimizing executor fuses operations for
    inference_mode: bool = True
    in_shares: bool = True  # each thread its own windows, as the backend's model.py does it

    def run(self, batches: Sequence[Arrays], pool: ThreadPoolExecutor) -> Tensor:
        """Run all batches; returns the last one's logits, [2, T]."""
        torch.jit.set_fusion_strategy([("DYNAMIC", self.fusion)])
        threads = torch.get_num_threads() if self.in_shares else 1
        logits = torch.empty(0)
        for batch in batches:
            logits = torch.from_numpy(
                np.stack(backend()["infer"](batch, self.infer, pool, threads))
            )
        return logits

    def infer(self, arrays: Arrays) -> list[npt.NDArray[np.float32]]:
        optimized = torch.jit.optimized_execution(self.optimized)  # type: ignore[attr-defined]
        with optimized, torch.inference_mode() if self.inference_mode else torch.no_grad():
            return [output.numpy() for output in self.script(*map(torch.from_numpy, arrays))]


@cache
def backend() -> dict[str, Any]:
    """What the embedded Triton's model.py defines."""
    sys.modules.setdefault("triton_python_backend_utils", ModuleType("only Triton has it"))
    return runpy.run_path(str(BACKEND))


PRESENT = "as exported"
ATTENTION: dict[str, tuple[type[SelfAttention], type[Planner]]] = {
    "SDPA by window": (SdpaByWindow, WindowedPlanner),
    "parts by window, float32 scores": (FloatScores, WindowedPlanner),
    "SDPA, padded and masked": (GroupedSelfAttention, OneGroupPlanner),
    "parts, padded and masked": (PartsPadded, OneGroupPlanner),
    "SDPA by similar length": (GroupedSelfAttention, GroupedPlanner),
}


def make_variants(
    module: PackedBertForQuestionAnswering, dtype: str, everything: bool
) -> dict[str, Variant]:
    """The present way, and with `everything` what is exchanged inside a process."""
    packed = with_linear("oneDNN")
    present = scripted(module, dtype, packed)
    variants = {PRESENT: Variant(present)}
    if not everything:
        return variants
    for name, (attention, planner) in ATTENTION.items():
        script = scripted(with_attention(module, attention, planner), dtype, packed)
        variants[f"attention: {name}"] = Variant(script)
    plain = scripted(module, dtype, with_linear("nn.Linear"))
    variants["linear: nn.Linear"] = Variant(plain)
    fused = scripted(module, dtype, with_linear("residual fused"))
    variants["linear: oneDNN, residual fused"] = Variant(fused)
    sdpa = scripted(with_attention(module, SdpaByWindow, WindowedPlanner), dtype)
    variants["threads: sharing each operation"] = Variant(present, in_shares=False)
    variants["all three as before: nn.Linear, SDPA, shared"] = Variant(sdpa, in_shares=False)
    with torchscript_deprecation_accepted():
        variants["executor: frozen"] = Variant(torch.jit.freeze(present))
        optimized = torch.jit.optimize_for_inference(torch.jit.freeze(plain))
    variants["executor: nn.Linear, optimize_for_inference"] = Variant(optimized)
    variants["executor: optimizing"] = Variant(present, optimized=True)
    variants["executor: optimizing, no fusion"] = Variant(present, optimized=True, fusion=0)
    variants["executor: no_grad"] = Variant(present, inference_mode=False)
    return variants
