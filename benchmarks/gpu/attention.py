"""Ways to attend within windows on a GPU, each in the place of the product's own module.

`BertEncoder` hands its second argument to the attention of every layer. The product hands it the
lengths; a variant may have anything there that is computed once a batch: a `Plan`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spanqa_model.attention import PaddedSelfAttention, WindowedSelfAttention
from spanqa_model.bert import PackedBertForQuestionAnswering, packed_position_ids

LONGEST = 512


class SelfAttention(nn.Module):
    """What the variants share; `qkv` comes from the module that a variant replaces."""

    def __init__(self, qkv: nn.Linear, num_attention_heads: int) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.head_size = qkv.in_features // num_attention_heads
        self.qkv = qkv
        # Ragged kernels size their grids by it; a bound spares a wait for the lengths.
        self.longest = LONGEST


class RowsSelfAttention(SelfAttention):
    """Padded rows everywhere: hidden [W·L, hidden] and the mask [W, L] of real tokens."""

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        shape = [mask.size(0), mask.size(1), 3, self.num_attention_heads, self.head_size]
        heads = self.qkv(hidden).view(shape).permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(
            heads[0], heads[1], heads[2], attn_mask=mask[:, None, None, :]
        )
        return context.transpose(1, 2).flatten(2).flatten(0, 1)


class IndexedSelfAttention(SelfAttention):
    """Rows inside attention alone, as the product, by one index matrix for all layers."""

    def forward(self, hidden: Tensor, places: Tensor) -> Tensor:
        tokens = hidden.size(0)
        rows = self.qkv(hidden)[places.clamp(max=tokens - 1)]
        shape = [places.size(0), places.size(1), 3, self.num_attention_heads, self.head_size]
        heads = rows.view(shape).permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(
            heads[0], heads[1], heads[2], attn_mask=(places < tokens)[:, None, None, :]
        )
        flat = hidden.new_empty([tokens + 1, hidden.size(1)])
        flat[places.flatten()] = context.transpose(1, 2).flatten(2).flatten(0, 1)
        return flat[:tokens]


class FlashSelfAttention(SelfAttention):
    """The flash kernel for ragged rows, float16 and bfloat16 only."""

    def forward(self, hidden: Tensor, ends: Tensor) -> Tensor:
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(1)
        context: Tensor = torch.ops.aten._flash_attention_forward(
            query, key, value, ends, ends, self.longest, self.longest, 0.0, False, False
        )[0]
        return context.flatten(1)


class EfficientSelfAttention(SelfAttention):
    """The memory-efficient kernel for ragged rows, float32 too."""

    def forward(self, hidden: Tensor, ends: Tensor) -> Tensor:
        qkv = self.qkv(hidden).view(1, -1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(2)
        context: Tensor = torch.ops.aten._efficient_attention_forward(
            query, key, value, None, ends, ends, self.longest, self.longest, 0.0, 0, False
        )[0]
        return context.flatten(2).flatten(0, 1)


class CudnnSelfAttention(SelfAttention):
    """cuDNN's kernel for ragged rows."""

    def forward(self, hidden: Tensor, ends: Tensor) -> Tensor:
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(1)
        context: Tensor = torch.ops.aten._cudnn_attention_forward(
            query, key, value, None, ends, ends, self.longest, self.longest, True
        )[0]
        return context.flatten(1)


class VarlenSelfAttention(SelfAttention):
    """`torch.nn.attention.varlen`, the public way to the flash kernel."""

    def forward(self, hidden: Tensor, ends: Tensor) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn

        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = qkv.unbind(1)
        context = varlen_attn(query, key, value, ends, ends, self.longest, self.longest)
        assert isinstance(context, Tensor)
        return context.flatten(1)


class JaggedSelfAttention(SelfAttention):
    """`scaled_dot_product_attention` on nested tensors of jagged layout."""

    def forward(self, hidden: Tensor, ends: Tensor) -> Tensor:
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        query, key, value = (
            torch.nested.nested_tensor_from_jagged(
                part.contiguous(), ends, min_seqlen=1, max_seqlen=self.longest
            ).transpose(1, 2)
            for part in qkv.unbind(1)
        )
        context = functional.scaled_dot_product_attention(query, key, value)
        return context.transpose(1, 2).values().flatten(1)


class Lengths(nn.Module):
    """No plan: the lengths themselves, int64 [W]."""

    def forward(self, window_lengths: Tensor) -> Tensor:
        return window_lengths


class Ends(nn.Module):
    """0 and the end of each window, int32 [W + 1]."""

    def forward(self, window_lengths: Tensor) -> Tensor:
        return functional.pad(torch.cumsum(window_lengths, 0), [1, 0]).int()


class Places(nn.Module):
    """Which token is at each place of the padded rows, int64 [W, L]; T where none is."""

    def forward(self, window_lengths: Tensor) -> Tensor:
        ends = torch.cumsum(window_lengths, 0)
        columns = torch.arange(int(window_lengths.max()), device=ends.device)
        places = (ends - window_lengths)[:, None] + columns
        return torch.where(columns < window_lengths[:, None], places, ends[-1])


class PlannedBert(PackedBertForQuestionAnswering):
    """The packed module, its attention replaced."""

    def __init__(self, module: PackedBertForQuestionAnswering, plan: nn.Module) -> None:
        nn.Module.__init__(self)
        self.bert = module.bert
        self.qa_outputs = module.qa_outputs
        self.plan = plan

    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        lengths = window_lengths.long()
        hidden = self.bert.embeddings(input_ids, token_type_ids, packed_position_ids(lengths))
        logits = self.qa_outputs(self.bert.encoder(hidden, self.plan(lengths)).float())
        return logits[:, 0].contiguous(), logits[:, 1].contiguous()


class RowsBert(PackedBertForQuestionAnswering):
    """The same weights on padded rows: ids, types and mask [W, L] → logits [W, L] float32."""

    def __init__(self, module: PackedBertForQuestionAnswering) -> None:
        nn.Module.__init__(self)
        replaced = with_attention(module, RowsSelfAttention)
        self.bert = replaced.bert
        self.qa_outputs = replaced.qa_outputs

    def forward(self, ids: Tensor, types: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        positions = torch.arange(ids.size(1), device=ids.device).repeat(ids.size(0))
        hidden = self.bert.embeddings(ids.flatten(), types.flatten(), positions)
        logits = self.qa_outputs(self.bert.encoder(hidden, mask != 0).float())
        logits = logits.view(ids.size(0), ids.size(1), 2)
        return logits[:, :, 0], logits[:, :, 1]


def with_attention(
    module: PackedBertForQuestionAnswering, attention: Callable[[nn.Linear, int], nn.Module]
) -> PackedBertForQuestionAnswering:
    """A copy of the module with other attention over the same weights."""
    copied = copy.deepcopy(module)
    for layer in copied.bert.encoder.layer:
        place: Any = layer.attention
        place.self = attention(place.self.qkv, place.self.num_attention_heads)
    return copied


def product(kind: type[PaddedSelfAttention | WindowedSelfAttention]) -> Attention:
    """A module of the product, made around weights that are there."""

    def make(qkv: nn.Linear, heads: int) -> nn.Module:
        with torch.device("meta"):
            made = kind(qkv.in_features, heads)
        made.qkv = qkv
        return made

    return make


Attention = Callable[[nn.Linear, int], nn.Module]


@dataclass(frozen=True, slots=True)
class Variant:
    """How to attend, what every layer of a batch shares for it, and whether it can be scripted."""

    attention: Attention
    plan: type[nn.Module]
    scripted: bool = True


VARIANTS = {
    "padded inside attention (the product on GPUs)": Variant(product(PaddedSelfAttention), Lengths),
    "the same, not scripted": Variant(product(PaddedSelfAttention), Lengths, scripted=False),
    "window by window (the product on CPUs)": Variant(product(WindowedSelfAttention), Lengths),
    "padded inside, one index for all layers": Variant(IndexedSelfAttention, Places),
    "memory-efficient, ragged": Variant(EfficientSelfAttention, Ends),
    "flash, ragged": Variant(FlashSelfAttention, Ends),
    "torch.nn.attention.varlen, not scripted": Variant(VarlenSelfAttention, Ends, scripted=False),
    "nested tensors, not scripted": Variant(JaggedSelfAttention, Ends, scripted=False),
    "cuDNN, ragged": Variant(CudnnSelfAttention, Ends),
}


def planned(module: PackedBertForQuestionAnswering, variant: Variant) -> PlannedBert:
    """The module with this variant's attention, float32 still."""
    return PlannedBert(with_attention(module, variant.attention), variant.plan()).eval()
