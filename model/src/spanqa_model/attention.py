"""Self-attention within the windows of a packed batch, by public operators."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from spanqa_model.plan import Plan


class SelfAttention(nn.Module):
    """What all forms share: query, key and value of all heads are one matrix."""

    def __init__(self, hidden_size: int, num_attention_heads: int) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.head_size = hidden_size // num_attention_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)


class WindowedSelfAttention(SelfAttention):
    """Attention window by window: no padding, no mask."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [T, hidden]; returns [T, hidden]."""
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        # [3, heads, T, head_size]: a window is a slice of the token axis
        qkv = qkv.permute(1, 2, 0, 3)
        context: list[Tensor] = []
        begin = 0
        for length in plan.lengths:
            window = qkv[:, :, begin : begin + length]
            attended = attend(window[0], window[1], window[2])
            context.append(attended.transpose(0, 1).flatten(1))
            begin += length
        return torch.cat(context)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """All [heads, L, head_size]; softmax(QKᵀ/√d)V, as Vaswani et al. 2017, eq. 1.

    In its parts: for windows this short on a CPU `scaled_dot_product_attention` is slower.
    """
    # beta=0: the first argument is not read, it only has to have a shape that fits
    scores = torch.baddbmm(
        query[:, :, :1], query, key.transpose(1, 2), beta=0.0, alpha=query.size(2) ** -0.5
    )
    return torch.bmm(scores.softmax(-1), value)


class GroupedSelfAttention(SelfAttention):
    """Attention over all windows of a group at once: padded to its length here, nowhere else."""

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [T, hidden]; returns [T, hidden]."""
        qkv = self.qkv(hidden)
        context: list[Tensor] = []
        for group in plan.groups:
            windows, length = group.mask.size(0), group.mask.size(3)
            shape = [windows, length, 3, self.num_attention_heads, self.head_size]
            # [3, n, heads, L, head_size]
            heads = qkv.index_select(0, group.places).view(shape).permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(
                heads[0], heads[1], heads[2], attn_mask=group.mask
            )
            context.append(attended.transpose(1, 2).flatten(2).flatten(0, 1))
        return torch.cat(context).index_select(0, plan.back)
