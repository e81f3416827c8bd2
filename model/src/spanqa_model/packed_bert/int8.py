"""Linear layers for a CPU in 8 bits: weights quantized at export, activations window by window.

A weight has one scale for each output. The activations of a window have a scale and zero point from
their own least and largest value, so that a window's logits do not depend on the others of its
batch. Products are summed exactly, in 32 bits; everything else is float32. The operator is
libtorch's own dynamically quantized linear layer. The arithmetic is that of Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
2018, section 2.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spanqa_model.packed_bert.model import BertEncoder, BertLayer
from spanqa_model.packed_bert.plan import Plan


class Int8Linear(nn.Module):
    """A linear layer, followed by GELU if `gelu` names its form ("none" is the exact erf form).

    The TorchScript file holds int8 weights. They are laid out when the file is loaded, for the
    instructions of that machine.
    """

    def __init__(self, linear: nn.Linear, gelu: str = "") -> None:
        super().__init__()
        weight = linear.weight.detach()
        self.scale: Tensor = (weight.abs().amax(1) / 127).clamp(min=1e-30)
        self.weight: Tensor = (weight / self.scale.unsqueeze(1)).round().to(torch.int8)
        self.bias: Tensor = linear.bias.detach()
        self.gelu: str = gelu
        self.packed = torch.ops.quantized.linear_prepack(
            quantized(self.weight, self.scale), self.bias
        )
        self.reduce_range: bool = saturates()

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` float32 [L, in_features], of one window; returns [L, out_features]."""
        output: Tensor = torch.ops.quantized.linear_dynamic(hidden, self.packed, self.reduce_range)
        return functional.gelu(output, approximate=self.gelu) if self.gelu else output

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, Tensor, str, bool]:
        return self.weight, self.scale, self.bias, self.gelu, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, Tensor, str, bool]) -> None:
        self.weight, self.scale, self.bias, self.gelu, self.training = state
        self.packed = torch.ops.quantized.linear_prepack(
            quantized(self.weight, self.scale), self.bias
        )
        self.reduce_range = saturates()


def quantized(weight: Tensor, scale: Tensor) -> Tensor:
    """int8 [out, in] and float32 [out] as one tensor of libtorch's kind."""
    zero_point = torch.zeros_like(scale, dtype=torch.int64)
    return torch._make_per_channel_quantized_tensor(weight, scale, zero_point, 0)


def saturates() -> bool:
    """Whether this machine adds pairs of products in 16 bits, so that activations need 7 bits.

    That is so on CPUs without VNNI or AMX.
    """
    ones = torch.ones([64], dtype=torch.float32)
    weight = torch.full([64, 64], 127, dtype=torch.int8)
    packed = torch.ops.quantized.linear_prepack(
        quantized(weight, ones / 127), torch.zeros_like(ones)
    )
    output: Tensor = torch.ops.quantized.linear_dynamic(ones.unsqueeze(0), packed, False)
    return bool((output - 64).abs().max() > 1)


class Int8Layer(nn.Module):
    """A layer of an encoder, for one window; its linear layers are still to be replaced.

    What the feed-forward part reads would have coarse steps for two reasons. Activations of [CLS]
    are several times as large as all others, so it has steps of its own. And some channels are
    larger than others by their LayerNorm, so all are scaled to the same range, and the weights
    the other way round (Xiao et al. 2023, "SmoothQuant", section 4, where data give the range).
    """

    def __init__(self, layer: BertLayer) -> None:
        super().__init__()
        self.attention = layer.attention
        self.intermediate = layer.intermediate
        self.output = layer.output
        normalized = layer.attention.output.LayerNorm
        reach = normalized.bias.abs() + 4 * normalized.weight.abs()
        reach = (reach / reach.mean()).clamp(min=1e-3)
        layer.intermediate.dense.weight.data.mul_(reach)
        self.shrink = nn.Parameter(1 / reach, requires_grad=False)

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [L, hidden]; returns [L, hidden]."""
        attended: Tensor = self.attention(hidden, plan)
        shrunk = attended * self.shrink
        parts = [shrunk[:1], shrunk[1:]] if hidden.size(0) > 1 else [shrunk]
        transformed = torch.cat([self.output.dense(self.intermediate(part)) for part in parts])
        normalized: Tensor = self.output.LayerNorm(transformed.add_(attended))
        return normalized


class WindowByWindowEncoder(nn.Module):
    """The layers of an encoder, which compute one window after the other."""

    def __init__(self, encoder: BertEncoder) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Int8Layer(cast(BertLayer, layer)) for layer in encoder.layer)

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [T, hidden]; returns [T, hidden]."""
        windows: list[Tensor] = []
        for window in hidden.split(plan.lengths):
            alone = Plan(plan.position_ids, [window.size(0)], plan.ends, plan.groups, plan.back)
            for layer in self.layer:
                window = layer(window, alone)
            windows.append(window)
        return torch.cat(windows)


class RowByRowLinear(nn.Module):
    """A narrow linear layer whose sums do not depend on how many rows there are."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight
        self.bias = linear.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` [T, in_features]; returns [T, out_features]."""
        return (hidden.unsqueeze(1) * self.weight).sum(2) + self.bias
