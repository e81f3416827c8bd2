"""Waits for the device and fixed devices, found in files as they are served."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import BertForQuestionAnswering

from spanqa_model.errors import ExportError
from spanqa_model.packed_bert.synchronization import (
    MAX_WAITS,
    check_waits,
    find_waits,
    waits_in_graph,
)
from spanqa_model.packed_bert.torchscript import (
    saved_and_loaded,
    to_torchscript,
    torchscript_deprecation_accepted,
)
from unit.model.tiny import packed_model, random_windows, reference_model

LAYERS = 4
ONES = torch.ones(6)
INPUT = (torch.arange(6.0),)


def scripted(*lines: str) -> torch.jit.ScriptModule:
    """A module of these lines of TorchScript, which read and change `x`."""
    body = "".join(f"    {line}\n" for line in (*lines, "return x"))
    with torchscript_deprecation_accepted():
        module = type("Lines", (torch.jit.ScriptModule,), {})()
        module.define(f"def forward(self, x: Tensor) -> Tensor:\n{body}")
    return saved_and_loaded(module)


NONZERO = "x = x.index_select(0, (x > -99).nonzero()[:, 0])"
ITEM = "x = x * int(x.size(0)) + float(x.max())"
MASKED = "x = x[x > -99]"
WAITS = {
    NONZERO: "aten::nonzero",
    MASKED: "aten::index",
    "x[x > 0] = x[x > 0]": "aten::index_put_",
    ITEM: "aten::Float",
    "x = x * 2 if bool((x > 5).any()) else x": "aten::Bool",
    "x = x + torch.repeat_interleave(torch.ones_like(x).long()).sum()": "aten::repeat_interleave",
    "x = x + torch.tensor([1.0, 2.0], device=x.device).sum()": "aten::tensor",
    "x = x + torch.where(x > 0, 1.0, 0.0)": "aten::where",
}


@pytest.mark.parametrize(("layer", "wait"), WAITS.items(), ids=WAITS.values())
def test_a_wait_in_each_layer_is_refused(layer: str, wait: str) -> None:
    module = scripted("x = x.clone()", *[layer] * LAYERS)
    assert find_waits(module, INPUT).waits.count(wait) == LAYERS
    with pytest.raises(ExportError, match=f"{LAYERS} × {wait}.*at most 2 waits"):
        check_waits(module, INPUT)


@pytest.mark.parametrize(
    ("layer", "ran"), [(NONZERO, "aten::nonzero"), (ITEM, "aten::item"), (MASKED, "nonzero")]
)
def test_what_a_forward_ran_is_told(layer: str, ran: str) -> None:
    with pytest.raises(ExportError, match=rf"one forward pass called .*{ran} {LAYERS} times"):
        check_waits(scripted(*[layer] * LAYERS), INPUT)


def test_a_wait_in_a_loop_is_refused_however_few() -> None:
    module = scripted("for row in range(x.size(0)):", "    x = x + float(x[row])")
    assert find_waits(module, INPUT).waits == ["aten::Float"]
    with pytest.raises(ExportError, match="aten::Float in a loop"):
        check_waits(module, INPUT)


def test_two_waits_are_allowed() -> None:
    findings = find_waits(scripted(NONZERO, NONZERO), INPUT)
    assert len(findings.waits) == MAX_WAITS
    assert findings.problems() == []


def test_what_waits_for_nothing_is_accepted() -> None:
    module = scripted(
        "rows = torch.arange(x.size(0), device=x.device)",
        "rows = torch.repeat_interleave(torch.ones_like(rows), output_size=x.size(0))",
        "x = torch.where(x > 0, x, torch.zeros_like(x)).masked_fill(x < -9, -float('inf'))",
        "for number in [1, 2]:",
        "    x = x * number",
        "x = x[None, :, ...].flatten().index_select(0, rows) + float(3)",
    )
    findings = find_waits(module, INPUT)
    assert findings.waits == []
    assert findings.pinned == []
    assert set(findings.ran.values()) == {0}


class ListOfTensors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kept = [torch.ones(6)]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.kept[0]


def with_arange(x: Tensor) -> Tensor:
    return x + torch.arange(6, device=x.device)


def with_constant(x: Tensor) -> Tensor:
    return x + ONES


def traced(function: Callable[[Tensor], Tensor]) -> torch.jit.ScriptModule:
    module = nn.Module()
    module.forward = function
    made: torch.jit.ScriptModule = torch.jit.trace(module, INPUT)
    return made


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: traced(with_arange), "the device cpu is fixed for aten::arange"),
        (lambda: traced(with_constant), "a tensor is a constant of its graph"),
        (
            lambda: torch.jit.script(ListOfTensors()),
            "the attribute kept holds tensors that cannot be moved",
        ),
    ],
)
def test_what_cannot_be_moved_is_refused(
    make: Callable[[], torch.jit.ScriptModule], message: str
) -> None:
    with torchscript_deprecation_accepted():
        module = saved_and_loaded(make())
    with pytest.raises(ExportError, match=message):
        check_waits(module, INPUT)


@pytest.mark.parametrize("attention", ["windowed", "grouped"])
@pytest.mark.parametrize("layers", [2, 24])
def test_a_forward_waits_at_most_twice_at_any_depth(attention: str, layers: int) -> None:
    model = packed_model(reference_model(hidden_size=8, layers=layers), attention=attention)
    module = saved_and_loaded(to_torchscript(model, "float32"))
    findings = find_waits(module, random_windows([60, 3, 25, 64, 1]))
    assert findings.waits == ["prim::tolist"]
    assert findings.repeated == []
    assert findings.pinned == []
    assert sum(findings.ran.values()) <= MAX_WAITS


@pytest.mark.parametrize("attention", ["flash", "efficient"])
def test_ragged_kernels_wait_once_too(reference: BertForQuestionAnswering, attention: str) -> None:
    module = to_torchscript(packed_model(reference, attention=attention), "float16")
    assert waits_in_graph(saved_and_loaded(module)) == [("prim::tolist", False)]
