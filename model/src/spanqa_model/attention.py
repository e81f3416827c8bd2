"""Self-attention within the windows of a packed batch."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class WindowedSelfAttention(nn.Module):
    """Attention window by window: no padding, no mask."""

    def __init__(self, hidden_size: int, num_attention_heads: int) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.head_size = hidden_size // num_attention_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, hidden: Tensor, window_lengths: Tensor) -> Tensor:
        """`hidden` [T, hidden], `window_lengths` int64 [W]; returns [T, hidden]."""
        qkv = self.qkv(hidden).view(-1, 3, self.num_attention_heads, self.head_size)
        # [3, heads, T, head_size]: a window is a slice of the token axis
        qkv = qkv.permute(1, 2, 0, 3)
        lengths: list[int] = window_lengths.tolist()
        context: list[Tensor] = []
        begin = 0
        for length in lengths:
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


class PaddedSelfAttention(nn.Module):
    """Attention over all windows at once: padded to the longest here, and nowhere else."""

    def __init__(self, hidden_size: int, num_attention_heads: int) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.head_size = hidden_size // num_attention_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)

    def forward(self, hidden: Tensor, window_lengths: Tensor) -> Tensor:
        """`hidden` [T, hidden], `window_lengths` int64 [W]; returns [T, hidden]."""
        longest = int(window_lengths.max())
        columns = torch.arange(longest, device=hidden.device)
        real = columns.unsqueeze(0) < window_lengths.unsqueeze(1)  # [W, longest]
        qkv = self.qkv(hidden)
        padded = torch.zeros(
            [window_lengths.size(0), longest, qkv.size(1)], dtype=qkv.dtype, device=qkv.device
        )
        padded[real] = qkv
        heads = padded.view(
            window_lengths.size(0), longest, 3, self.num_attention_heads, self.head_size
        ).permute(2, 0, 3, 1, 4)
        context = functional.scaled_dot_product_attention(
            heads[0], heads[1], heads[2], attn_mask=real[:, None, None, :]
        )
        return context.transpose(1, 2).flatten(2)[real]
