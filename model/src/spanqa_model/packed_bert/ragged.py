"""Attention with torch's kernels for sequences of different lengths: no padding, CUDA only.

These are not public operators of torch, so the export of a model that uses them runs them first.
They have not been run on a GPU yet.
"""

import torch
from torch import Tensor
from torch.nn import functional

from spanqa_model.packed_bert.attention import SelfAttention
from spanqa_model.packed_bert.plan import Group, Plan, Planner, packed_position_ids


class FlashSelfAttention(SelfAttention):
    """The flash attention kernel, for float16 and bfloat16 only."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [T, hidden]; returns [T, hidden]."""
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(1)
        ends, longest = plan.ends, plan.longest
        context: Tensor = torch.ops.aten._flash_attention_forward(
            query, key, value, ends, ends, longest, longest, 0.0, False, False
        )[0]
        return context.flatten(1)


class EfficientSelfAttention(SelfAttention):
    """The memory-efficient kernel, for float32 too."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [T, hidden]; returns [T, hidden]."""
        qkv = self.qkv(hidden).view(1, -1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(2)
        ends, longest = plan.ends, plan.longest
        context: Tensor = torch.ops.aten._efficient_attention_forward(
            query, key, value, None, ends, ends, longest, longest, 0.0, 0, False
        )[0]
        return context.flatten(2).flatten(0, 1)


class RaggedPlanner(Planner):
    """Plans for these kernels: where windows end, and the length of the longest one."""

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        window_lengths: Tensor,
        dtype: torch.dtype,
    ) -> Plan:
        """The batch, integers [T], [T] and int64 [W], and the dtype of the hidden states."""
        lengths = self.read(input_ids, token_type_ids, window_lengths, window_lengths)
        positions = packed_position_ids(window_lengths, input_ids.size(0))
        ends = functional.pad(torch.cumsum(window_lengths, 0), [1, 0]).int()
        nothing: list[int] = []
        groups: list[Group] = []
        return Plan(positions, nothing, groups, positions, ends, max(lengths))
