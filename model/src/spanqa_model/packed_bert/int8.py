"""Linear layers for a CPU in 8 bits: weights quantized at export, activations window by window.

A weight has one scale for each output. The activations of a window have a scale and zero point from
their own least and largest value, so that a window's logits do not depend on the others of its
batch. Products are summed exactly, in 32 bits; everything else is float32. The operator is
libtorch's own dynamically quantized linear layer. The arithmetic is that of Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
2018, section 2.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from spanqa_model.packed_bert.model import BertEncoder, BertLayer
from spanqa_model.packed_bert.plan import Plan

# From so wide layers on, oneDNN's products gain more than its programs for each shape cost.
WIDE = 1024


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
        self.whole_range: Tensor = whole_range(self.weight.size(1), self.reduce_range)

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` float32 [L, in_features], of one window; returns [L, out_features]."""
        output: Tensor = torch.ops.quantized.linear_dynamic(hidden, self.packed, self.reduce_range)
        return self.activate(output)

    @torch.jit.export
    def row_by_row(self, hidden: Tensor) -> Tensor:
        """The same with a scale for each row, [n, in_features]; a row's zero point is 0."""
        largest = torch.linalg.vector_norm(hidden, float("inf"), [1], True).clamp_(min=1e-30)
        rows = torch.cat([hidden / largest, self.whole_range])
        output: Tensor = torch.ops.quantized.linear_dynamic(rows, self.packed, self.reduce_range)
        output = torch.lerp(self.bias, output[:-1], largest)  # the bias is not to be scaled
        if self.gelu == "tanh":
            # torch rounds this form otherwise at the end of a tensor, so each row has an end.
            return torch.cat([self.activate(row) for row in output.split(1)])
        return self.activate(output)

    def activate(self, output: Tensor) -> Tensor:
        """GELU in place, if there is one."""
        return torch.ops.aten.gelu_(output, approximate=self.gelu) if self.gelu else output

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
        self.whole_range = whole_range(self.weight.size(1), self.reduce_range)


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


def engine_for(hidden_size: int) -> str:
    """Which of libtorch's engines for quantized weights is the faster on this machine."""
    onednn = hidden_size >= WIDE and "onednn" in torch.backends.quantized.supported_engines
    return "onednn" if onednn else torch.backends.quantized.engine


@contextmanager
def quantized_by(engine: str) -> Iterator[None]:
    """The engine of the layers that are made or loaded meanwhile; they keep it."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def whole_range(features: int, reduce_range: bool) -> Tensor:
    """A row [1, features] beside which the operator takes [-1, 1] in the same steps for any rows.

    Half a step more at both ends makes the steps those of the integers.
    """
    most = 63 if reduce_range else 127
    ends = torch.tensor([[most + 0.5, -most - 0.5]]) / most
    return functional.pad(ends, [0, features - 2])


class Int8Layer(nn.Module):
    """A layer of an encoder; the linear layers of its attention are still to be replaced.

    What the feed-forward part reads would have coarse steps for two reasons. Activations of [CLS]
    are several times as large as all others, so it has steps of its own. And some channels are
    larger than others by their LayerNorm, so it makes the range of all the same, and the weights
    the other way round (Xiao et al. 2023, "SmoothQuant", section 4, where data give the range).
    """

    def __init__(self, layer: BertLayer) -> None:
        super().__init__()
        self.attention = layer.attention
        normalized = layer.attention.output.LayerNorm
        reach = normalized.bias.abs() + 4 * normalized.weight.abs()
        reach = (reach / reach.mean()).clamp(min=1e-3)
        for smaller in (normalized.weight, normalized.bias):
            smaller.data.div_(reach)
        layer.intermediate.dense.weight.data.mul_(reach)
        self.reach = nn.Parameter(reach, requires_grad=False)
        self.intermediate = Int8Linear(
            layer.intermediate.dense, layer.intermediate.activation.approximate
        )
        self.output = Int8Linear(layer.output.dense)
        self.LayerNorm = layer.output.LayerNorm

    def forward(self, windows: list[Tensor], plan: Plan) -> list[Tensor]:
        """`windows` [L, hidden] each; returns the same shapes."""
        attended = [self.attend(window, plan) for window in windows]
        # The weights are read once for [CLS] of all windows.
        cls = torch.cat([window[:1] for window in attended])
        cls_transformed = self.output.row_by_row(self.intermediate.row_by_row(cls))
        normalized: list[Tensor] = []
        for index, window in enumerate(attended):
            self.add_in_place(window[:1], cls_transformed[index : index + 1])
            if window.size(0) > 1:
                others = window[1:]
                self.add_in_place(others, self.output(self.intermediate(others)))
            normalized.append(self.LayerNorm(window))
        return normalized

    def attend(self, window: Tensor, plan: Plan) -> Tensor:
        alone = Plan(plan.position_ids, [window.size(0)], plan.ends, plan.groups, plan.back)
        attended: Tensor = self.attention(window, alone)
        return attended

    def add_in_place(self, attended: Tensor, transformed: Tensor) -> None:
        """The residual connection, without a copy."""
        torch.addcmul(transformed, attended, self.reach, out=attended)


class WindowByWindowEncoder(nn.Module):
    """The layers of an encoder, each of which computes one window after the other."""

    def __init__(self, encoder: BertEncoder) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Int8Layer(cast(BertLayer, layer)) for layer in encoder.layer)

    def forward(self, hidden: Tensor, plan: Plan) -> Tensor:
        """`hidden` [T, hidden]; returns [T, hidden]."""
        windows: list[Tensor] = list(hidden.split(plan.lengths))
        for layer in self.layer:
            windows = layer(windows, plan)
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
