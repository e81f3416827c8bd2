"""Attention with torch's kernels for sequences of different lengths: no padding, CUDA only.

These are not public operators of torch, so the export of a model that uses them runs them first.
They have not been run on a GPU yet.
"""

import torch
from torch import Tensor

from spanqa_model.packed_bert.attention import SelfAttention
from spanqa_model.packed_bert.plan import Plan


class FlashSelfAttention(SelfAttention):
    """The flash attention kernel, for float16 and bfloat16 only."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [T, hidden]; returns [T, hidden]."""
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(1)
        ends, longest = plan.ends, max(plan.lengths)
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
        ends, longest = plan.ends, max(plan.lengths)
        context: Tensor = torch.ops.aten._efficient_attention_forward(
            query, key, value, None, ends, ends, longest, longest, 0.0, 0, False
        )[0]
        return context.flatten(2).flatten(0, 1)
