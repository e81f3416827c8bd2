"""Linear layers for a CPU: oneDNN's kernels, weights laid out for them once, GELU fused.

`nn.Linear` in float32 goes to MKL, which is half as fast on an AMD CPU, and in bfloat16 to oneDNN
with weights that it lays out anew in each call (`docs/benchmarks.md` has figures). These operators
are what `torch.compile` emits for the same layer; they are part of libtorch, so Triton's own
backend runs them too.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from spanqa_model.bert import PackedBertForQuestionAnswering


class OneDnnLinear(nn.Module):
    """A linear layer, and GELU after it where `gelu` names one ("none" is the exact erf form).

    Weights are saved as they are, and laid out when the TorchScript file is loaded, where the
    machine can run these kernels; on others the layer is an ordinary one.
    """

    def __init__(self, linear: nn.Linear, gelu: str = "") -> None:
        super().__init__()
        self.weight: Tensor = linear.weight.detach()
        self.bias: Tensor = linear.bias.detach()
        self.gelu: str = gelu

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` [T, in_features]; returns [T, out_features]."""
        if self.weight.is_mkldnn:
            fused = "gelu" if self.gelu else "none"
            output: Tensor = torch.ops.mkldnn._linear_pointwise(
                hidden, self.weight, self.bias, fused, [], self.gelu
            )
            return output
        projected = functional.linear(hidden, self.weight, self.bias)
        return functional.gelu(projected, approximate=self.gelu) if self.gelu else projected

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, str, bool]:
        weight = self.weight.to_dense() if self.weight.is_mkldnn else self.weight
        return weight, self.bias, self.gelu, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, str, bool]) -> None:
        weight, self.bias, self.gelu, self.training = state
        native = weight.dtype == torch.float32
        if weight.dtype == torch.bfloat16:
            native = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if native and weight.device.type == "cpu":
            # the layout is chosen for so many tokens, and serves any number
            weight = torch.ops.mkldnn._reorder_linear_weight(weight, 1024)
        self.weight = weight


def use_onednn(module: PackedBertForQuestionAnswering) -> None:
    """Exchange the encoder's linear layers, in place."""
    for part in list(module.bert.encoder.modules()):
        children = dict(part.named_children())
        gelu = next((one.approximate for one in children.values() if isinstance(one, nn.GELU)), "")
        for name, child in children.items():
            if isinstance(child, nn.Linear):
                setattr(part, name, OneDnnLinear(child, gelu))
            elif isinstance(child, nn.GELU):
                setattr(part, name, nn.Identity())
