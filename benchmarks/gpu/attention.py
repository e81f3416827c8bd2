"""Ways to attend within windows on a GPU, each in the place of the product's own module."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spanqa_model.attention import GroupedSelfAttention, SelfAttention
from spanqa_model.bert import PackedBertForQuestionAnswering
from spanqa_model.forms import FORMS
from spanqa_model.grouping import GroupedPlanner
from spanqa_model.plan import Group, Plan, Planner
from spanqa_model.ragged import RaggedPlanner


class RowsSelfAttention(SelfAttention):
    """Padded rows everywhere: hidden [W·L, hidden] and one mask [W, 1, 1, L] of real tokens."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        mask = plan.groups[0].mask
        shape = [mask.size(0), mask.size(3), 3, self.num_attention_heads, self.head_size]
        heads = self.qkv(hidden).view(shape).permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(
            heads[0], heads[1], heads[2], attn_mask=mask
        )
        return context.transpose(1, 2).flatten(2).flatten(0, 1)


class CudnnSelfAttention(SelfAttention):
    """cuDNN's kernel for ragged rows."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(1)
        ends, longest = plan.ends, plan.longest
        context: Tensor = torch.ops.aten._cudnn_attention_forward(
            query, key, value, None, ends, ends, longest, longest, True
        )[0]
        return context.flatten(1)


class VarlenSelfAttention(SelfAttention):
    """`torch.nn.attention.varlen`, the public way to the flash kernel."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn

        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(1)
        context = varlen_attn(query, key, value, plan.ends, plan.ends, plan.longest, plan.longest)
        assert isinstance(context, Tensor)
        return context.flatten(1)


class JaggedSelfAttention(SelfAttention):
    """`scaled_dot_product_attention` on nested tensors of jagged layout."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = (
            torch.nested.nested_tensor_from_jagged(
                part.contiguous(), plan.ends, min_seqlen=1, max_seqlen=plan.longest
            ).transpose(1, 2)
            for part in qkv.unbind(1)
        )
        context = functional.scaled_dot_product_attention(query, key, value)
        return context.transpose(1, 2).values().flatten(1)


class OneGroupPlanner(GroupedPlanner):
    """All windows padded to the longest one's edge: a group of its own is worth nothing."""

    def __init__(self, vocab_size: int, type_vocab_size: int, max_position_embeddings: int) -> None:
        super().__init__(vocab_size, type_vocab_size, max_position_embeddings, group_cost=1 << 62)


class RowsBert(PackedBertForQuestionAnswering):
    """The same weights on padded rows: ids, types and mask [W, L] → logits [W, L] float32."""

    def __init__(self, module: PackedBertForQuestionAnswering) -> None:
        nn.Module.__init__(self)
        replaced = with_attention(module, RowsSelfAttention, GroupedPlanner)
        self.bert = replaced.bert
        self.qa_outputs = replaced.qa_outputs

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        positions = torch.arange(ids.size(1), device=ids.device).repeat(ids.size(0))
        hidden = self.bert.embeddings(ids.flatten(), types.flatten(), positions)
        groups = [Group(positions, (mask != 0)[:, None, None, :])]
        nothing: list[int] = []
        plan = Plan(positions, nothing, groups, positions, positions, 0)
        logits = self.qa_outputs(self.bert.encoder(hidden, plan).float())
        logits = logits.view(ids.size(0), ids.size(1), 2)
        return logits[:, :, 0], logits[:, :, 1]


def with_attention(
    module: PackedBertForQuestionAnswering,
    attention: type[SelfAttention],
    planner: type[Planner],
) -> PackedBertForQuestionAnswering:
    """A copy of the module with other attention over the same weights."""
    copied = copy.deepcopy(module)
    old = copied.bert.planner
    copied.bert.planner = planner(old.vocab_size, old.type_vocab_size, old.max_position_embeddings)
    for layer in copied.bert.encoder.layer:
        place: Any = layer.attention
        qkv = place.self.qkv
        with torch.device("meta"):
            made = attention(qkv.in_features, place.self.num_attention_heads)
        made.qkv = qkv
        place.self = made
    return copied


@dataclass(frozen=True, slots=True)
class Variant:
    """How to attend, what every layer of a batch shares for it, and whether it can be scripted."""

    attention: type[SelfAttention]
    planner: type[Planner]
    scripted: bool = True

    def of(self, module: PackedBertForQuestionAnswering) -> PackedBertForQuestionAnswering:
        """The module with this attention, float32 still."""
        return with_attention(module, self.attention, self.planner).eval()


def product(form: str, *, scripted: bool = True) -> Variant:
    return Variant(FORMS[form].attention, FORMS[form].planner, scripted)


VARIANTS = {
    "grouped (the product on GPUs)": product("grouped"),
    "the same, not scripted": product("grouped", scripted=False),
    "one group, padded to the longest": Variant(GroupedSelfAttention, OneGroupPlanner),
    "window by window (the product on CPUs)": product("windowed"),
    "memory-efficient, ragged": product("efficient"),
    "flash, ragged": product("flash"),
    "torch.nn.attention.varlen, not scripted": Variant(VarlenSelfAttention, RaggedPlanner, False),
    "nested tensors, not scripted": Variant(JaggedSelfAttention, RaggedPlanner, False),
    "cuDNN, ragged": Variant(CudnnSelfAttention, RaggedPlanner),
}
