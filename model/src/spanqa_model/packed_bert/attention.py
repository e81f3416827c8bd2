"""Self-attention within the windows of a packed batch, with public operators of torch only."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from spanqa_model.packed_bert.plan import Plan


class SelfAttention(nn.Module):
    """The base of all forms of attention: query, key and value of all heads are one matrix."""

    def __init__(self, hidden_size: int, num_attention_heads: int) -> None:
        super().__init__()
        self.num_attention_heads = num_attention_heads
        self.head_size = hidden_size // num_attention_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)


class WindowedSelfAttention(SelfAttention):
    """Attends window by window, in the way that is fastest on the CPU that it is exported for.

    With `in_bfloat16` attention is computed in it, whatever the dtype of the hidden states. The
    other settings are each for a function below.
    """

    # TorchScript leaves out the branch that a constant rules out.
    __constants__ = ("by_convolution", "in_bfloat16", "in_tiles", "on_cpu")

    def __init__(
        self,
        hidden_size: int,
        num_attention_heads: int,
        *,
        on_cpu: bool = False,
        in_tiles: bool = False,
        in_bfloat16: bool = False,
        by_convolution: bool = False,
    ) -> None:
        super().__init__(hidden_size, num_attention_heads)
        self.by_convolution = by_convolution
        self.in_bfloat16 = in_bfloat16
        self.on_cpu = on_cpu
        self.in_tiles = in_tiles

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [≥ T, hidden]; returns as many rows, those after T without a meaning."""
        qkv = self.qkv(hidden)
        if self.in_bfloat16:
            qkv = qkv.to(torch.bfloat16)
        # [3, heads, T, head_size]: a window is a slice of the token axis
        qkv = qkv.view(-1, 3, self.num_attention_heads, self.head_size).permute(1, 2, 0, 3)
        if self.in_tiles:
            attended = attend_in_tiles(qkv, plan.lengths)
        else:
            attended = self.attend_to_each(qkv, plan.lengths)
        shape = [hidden.size(0), self.num_attention_heads, self.head_size]
        context = torch.empty(shape, dtype=hidden.dtype, device=hidden.device)
        begin = 0
        for window in attended:
            end = begin + window.size(1)
            context[begin:end].copy_(window.transpose(0, 1))
            begin = end
        context[begin:].zero_()
        return context.flatten(1)

    def attend_to_each(self, qkv: Tensor, lengths: list[int]) -> list[Tensor]:
        """`qkv` [3, heads, ≥ T, head_size]; returns [heads, L, head_size] for each window."""
        context: list[Tensor] = []
        begin = 0
        for length in lengths:
            window = qkv[:, :, begin : begin + length]
            if self.by_convolution and length >= 128:
                attended = attend_by_convolution(window[0], window[1], window[2])
            elif self.on_cpu:
                laid_out = lay_out(window)
                attended = attend_on_cpu(laid_out[0], laid_out[1], laid_out[2], length)
            else:
                attended = attend(window[0], window[1], window[2])
            context.append(attended)
            begin += length
        return context


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(QKᵀ/√d)V, as in Vaswani et al. 2017, eq. 1; all arguments [heads, L, head_size].

    On a CPU `scaled_dot_product_attention` is faster only with AMX, see `attend_in_tiles`.
    """
    return torch.bmm(scaled_scores(query, key).softmax(-1), value)


def lay_out(window: Tensor, step: int = 8) -> Tensor:
    """A window for `attend_on_cpu`: [3, heads, L, head_size] as [3, heads, ≥ L, head_size].

    Products would copy what has strides, keys in the slower, transposed order. In bfloat16 oneDNN
    makes a program for each shape, so there zeros follow, up to a multiple of `step` tokens. They
    take a hundredth of the products' time.
    """
    length = window.size(2)
    missing = (length + step - 1) // step * step - length
    if missing == 0 or window.dtype != torch.bfloat16:
        return window.contiguous()
    shape = [3, window.size(1), length + missing, window.size(3)]
    padded = torch.empty(shape, dtype=window.dtype, device=window.device)
    padded[:, :, :length].copy_(window)
    padded[:, :, length:].zero_()
    return padded


def attend_on_cpu(query: Tensor, key: Tensor, value: Tensor, length: int) -> Tensor:
    """The same with fewer passes over the scores, and powers of 2 instead of e, which are cheaper.

    The largest score is not subtracted first, and the quotient is taken at the end. That is as
    precise while the sums are far from the limits of the dtype; it has to look at them for that.
    Those of float16 are too near.

    Args:
        query, key, value: [heads, ≥ L, head_size], where zeros follow the tokens of the window.
        length: of the window, L.

    Returns:
        [heads, L, head_size].
    """
    if query.dtype == torch.float16:
        return attend(query, key, value)
    weights = scaled_scores(query, key, 1 / math.log(2)).exp2_()
    # The weights of the zeros are not 0, but their values are.
    total = weights[:, :, :length].sum(-1, keepdim=True)
    if not are_precise(total):
        scores = scaled_scores(query, key)
        scores[:, :, length:].fill_(-float("inf"))
        return torch.bmm(scores.softmax(-1), value)[:, :length]
    return (torch.bmm(weights, value) / total)[:, :length]


def are_precise(total: Tensor) -> bool:
    """Whether sums of exponentials are so far from the limits of float32 that none lost digits."""
    least, most = torch.aminmax(total)
    return float(least) > 1e-30 and float(most) < 1e30


def attend_by_convolution(query: Tensor, key: Tensor, value: Tensor, step: int = 16) -> Tensor:
    """`attend_on_cpu` in float32, with oneDNN's convolutions instead of MKL's products.

    On CPUs of AMD they are nearly twice as fast. oneDNN makes a program for each shape, so the
    tokens of the window are padded to a multiple of `step`.
    """
    heads, length, head_size = query.size(0), query.size(1), query.size(2)
    # [L, heads, head_size], which has no strides but between tokens
    by_token = query.transpose(0, 1), value.transpose(0, 1)
    padding = [0, 0, 0, (length + step - 1) // step * step - length]
    queries = functional.pad(by_token[0].flatten(1), padding)
    keys = functional.pad(key, padding).flatten(0, 1)
    values = functional.pad(by_token[1].flatten(1), padding).t().contiguous()
    queries.mul_(1 / math.log(2) * head_size**-0.5)
    weights = products_by_head(queries, keys, heads).exp2_()
    # The weights of the padding are not 0, but its values are.
    total = weights.view(-1, heads, keys.size(0) // heads)[:length, :, :length].sum(-1)
    if not are_precise(total):
        return attend(query, key, value)
    context = products_by_head(weights, values, heads)[:length].view(length, heads, head_size)
    return (context / total.unsqueeze(-1)).transpose(0, 1)


def products_by_head(rows: Tensor, columns: Tensor, heads: int) -> Tensor:
    """Multiply rows and columnsᵀ of each head, as a grouped convolution with kernels of size 1.

    Args:
        rows: [n, heads · k].
        columns: [heads · m, k].
        heads: each has its own part of both.

    Returns:
        [n, heads · m].
    """
    # A row is a pixel, whose channels lie together.
    image = rows.view(1, 1, rows.size(0), rows.size(1)).permute(0, 3, 1, 2)
    kernels = columns.unsqueeze(2).unsqueeze(3)
    products = torch.mkldnn_convolution(image, kernels, None, [0, 0], [1, 1], [1, 1], heads)
    return products.permute(0, 2, 3, 1).flatten(0, 2)


def attend_in_tiles(qkv: Tensor, lengths: list[int], tile: int = 16) -> list[Tensor]:
    """Attention of windows end to end, by libtorch's kernel that keeps the scores in the cache.

    In bfloat16, on a CPU that multiplies it in tiles (AMX), the kernel is twice as fast with keys
    in whole tiles. So the keys of a window go on into the next one, whose weights are exactly 0.

    Args:
        qkv: [3, heads, ≥ T, head_size].
        lengths: of the windows, with the sum T.
        tile: keys of one.

    Returns:
        [heads, L, head_size] for each window.
    """
    longest = max(lengths)
    beyond = torch.zeros([longest + tile], dtype=qkv.dtype, device=qkv.device)
    beyond[longest:] = -float("inf")
    context: list[Tensor] = []
    begin = 0
    for length in lengths:
        padded = (length + tile - 1) // tile * tile
        window = qkv[:, :, begin : begin + padded]
        if window.size(2) < padded:
            window = functional.pad(window, [0, 0, 0, padded - window.size(2)])
        mask = beyond[longest - length : longest - length + padded].expand(1, 1, padded, padded)
        attended = functional.scaled_dot_product_attention(
            window[:1], window[1:2], window[2:], attn_mask=mask
        )
        context.append(attended[0, :, :length])
        begin += length
    return context


def scaled_scores(query: Tensor, key: Tensor, factor: float = 1.0) -> Tensor:
    """QKᵀ/√d times a factor, [heads, L, L]."""
    # With beta=0 the first argument is not read; only its shape has to fit.
    return torch.baddbmm(
        query[:, :, :1], query, key.transpose(1, 2), beta=0.0, alpha=factor * query.size(2) ** -0.5
    )


class GroupedSelfAttention(SelfAttention):
    """Attends over all windows of a group at once, padded to the length of the group."""

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
