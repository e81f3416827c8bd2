"""Linear layers for a CPU on oneDNN's kernels: weights are reordered once, GELU is fused.

`nn.Linear` in float32 uses MKL, which is half as fast on an AMD CPU. In bfloat16 it uses oneDNN,
but reorders the weights in each call (`docs/benchmarks.md` has figures). `torch.compile` emits the
same operators for such a layer. They are part of libtorch, so Triton's PyTorch backend runs them
too.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

# With AMX, oneDNN cuts sums over more terms, at places that depend on the number of rows.
LONGEST_UNCUT_SUM = 384
SMALLEST_PART = 64


class OneDnnLinear(nn.Module):
    """A linear layer, followed by GELU if `gelu` names its form ("none" is the exact erf form).

    The TorchScript file holds ordinary weights. They are reordered when the file is loaded, if the
    machine can run these kernels; elsewhere the layer is an ordinary one.
    """

    def __init__(self, linear: nn.Linear, gelu: str = "") -> None:
        super().__init__()
        self.weight: Tensor = linear.weight.detach()
        self.bias: Tensor = linear.bias.detach()
        self.gelu: str = gelu
        self.in_parts: bool = False

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` [T, in_features]; returns [T, out_features].

        With `in_parts` T is a multiple of 64. Parts have 256, 128 or 64 rows, whose sums oneDNN
        cuts at the same places: the result for a row does not depend on what other rows there are.
        """
        if not self.in_parts:
            return self.project(hidden)
        parts: list[Tensor] = []
        begin, rows = 0, 256
        while begin < hidden.size(0):
            while begin + rows > hidden.size(0) and rows > 64:
                rows = rows // 2  # TorchScript knows no `//=`
            parts.append(self.project(hidden[begin : begin + rows]))
            begin += rows
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def project(self, hidden: Tensor) -> Tensor:
        if self.weight.is_mkldnn:
            fused = "gelu" if self.gelu else "none"
            output: Tensor = torch.ops.mkldnn._linear_pointwise(
                hidden, self.weight, self.bias, fused, [], self.gelu
            )
            return output
        projected = functional.linear(hidden, self.weight, self.bias)
        return functional.gelu(projected, approximate=self.gelu) if self.gelu else projected

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, str, bool, bool]:
        weight = self.weight.to_dense() if self.weight.is_mkldnn else self.weight
        return weight, self.bias, self.gelu, self.in_parts, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, str, bool, bool]) -> None:
        weight, self.bias, self.gelu, self.in_parts, self.training = state
        native = weight.dtype == torch.float32
        if weight.dtype == torch.bfloat16:
            native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if native and weight.device.type == "cpu":
            # The layout is chosen for this number of tokens, and works for any number.
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, 1024)
        self.weight = weight
