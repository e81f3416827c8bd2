"""Waits for the device and fixed devices, found in files as they are served."""

import io
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
from spanqa_model.packed_bert.torchscript import to_torchscript, torchscript_deprecation_accepted
from unit.model.tiny import packed_model, random_windows, reference_model

FORMS_HERE = ["windowed", "grouped"]
LAYERS = 4


def saved_and_loaded(module: nn.Module | torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    buffer = io.BytesIO()
    with torchscript_deprecation_accepted():
        scripted = (
            module if isinstance(module, torch.jit.ScriptModule) else torch.jit.script(module)
        )
        torch.jit.save(scripted, buffer)
        buffer.seek(0)
        loaded: torch.jit.ScriptModule = torch.jit.load(buffer)
    return loaded


class Nonzero(nn.Module):
    """Counts entries where each layer has to know how many there are."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.index_select(0, (hidden > -99).nonzero()[:, 0])


class MaskedIndex(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden[hidden > -99]


class MaskedAssignment(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        copied = hidden.clone()
        copied[hidden > 0] = hidden[hidden > 0]
        return copied


class Item(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden * int(hidden.size(0)) + float(hidden.max())


class Condition(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        if bool((hidden > 5).any()):
            hidden = hidden * 2
        return hidden


class Repeats(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + torch.repeat_interleave(torch.ones_like(hidden).long()).sum()


class ListToDevice(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + torch.tensor([1.0, 2.0], device=hidden.device).sum()


class NumbersWhere(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + torch.where(hidden > 0, 1.0, 0.0)


class Free(nn.Module):
    """What looks like a wait and is none."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.numbers = [1, 2]

    def forward(self, hidden: Tensor) -> Tensor:
        rows = torch.arange(hidden.size(0), device=hidden.device)
        ones = torch.ones_like(rows)
        again = torch.repeat_interleave(ones, output_size=hidden.size(0))
        masked = torch.where(hidden > 0, hidden, torch.zeros_like(hidden))
        filled = masked.masked_fill(hidden < -9, -float("inf"))
        for number in self.numbers:
            filled = filled * number
        return filled[None, :, ...].flatten().index_select(0, again) * self.weight + float(3)


class Layers(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(kind() for _ in range(LAYERS))

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class Looped(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        total = 0.0
        for row in range(hidden.size(0)):
            total += float(hidden[row])
        return hidden + total


ONES = torch.ones(6)
INPUT = (torch.arange(6.0),)
WAITS = {
    Nonzero: "aten::nonzero",
    MaskedIndex: "aten::index",
    MaskedAssignment: "aten::index_put_",
    Item: "aten::Float",
    Condition: "aten::Bool",
    Repeats: "aten::repeat_interleave",
    ListToDevice: "aten::tensor",
    NumbersWhere: "aten::where",
}


@pytest.mark.parametrize("kind", list(WAITS))
def test_a_wait_in_each_layer_is_refused(kind: type[nn.Module]) -> None:
    module = saved_and_loaded(Layers(kind))
    assert find_waits(module, INPUT).waits.count(WAITS[kind]) == LAYERS
    with pytest.raises(ExportError, match=f"{LAYERS} × {WAITS[kind]}.*at most 2 waits"):
        check_waits(module, INPUT)


@pytest.mark.parametrize(
    ("kind", "ran"), [(Nonzero, "aten::nonzero"), (Item, "aten::item"), (MaskedIndex, "nonzero")]
)
def test_what_a_forward_ran_is_told(kind: type[nn.Module], ran: str) -> None:
    with pytest.raises(ExportError, match=rf"one forward pass called .*{ran} {LAYERS} times"):
        check_waits(saved_and_loaded(Layers(kind)), INPUT)


def test_a_wait_in_a_loop_is_refused_however_few() -> None:
    module = saved_and_loaded(Looped())
    assert find_waits(module, INPUT).waits == ["aten::Float"]
    with pytest.raises(ExportError, match="aten::Float in a loop"):
        check_waits(module, INPUT)


@pytest.mark.parametrize("kind", [Item, Nonzero])
def test_two_waits_are_allowed(kind: type[nn.Module]) -> None:
    findings = find_waits(saved_and_loaded(kind()), INPUT)
    assert len(findings.waits) == 1
    assert findings.problems() == []


def test_what_waits_for_nothing_is_accepted() -> None:
    module = saved_and_loaded(Free())
    findings = find_waits(module, INPUT)
    assert findings.waits == []
    assert findings.pinned == []
    assert set(findings.ran.values()) == {0}


class Arange(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + torch.arange(6, device=hidden.device)


class ConstantTensor(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + ONES


class ListOfTensors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kept = [torch.ones(6)]

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.kept[0]


def traced(module: nn.Module) -> torch.jit.ScriptModule:
    with torchscript_deprecation_accepted():
        made: torch.jit.ScriptModule = torch.jit.trace(module, INPUT)
    return made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: traced(Arange()), "the device cpu is fixed for aten::arange"),
        (lambda: traced(ConstantTensor()), "a tensor is a constant of its graph"),
        (ListOfTensors, "the attribute kept holds tensors that cannot be moved"),
    ],
)
def test_what_cannot_be_moved_is_refused(
    made: Callable[[], torch.jit.ScriptModule], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        check_waits(saved_and_loaded(made()), INPUT)


def test_a_device_that_follows_the_input_is_none() -> None:
    assert find_waits(saved_and_loaded(Arange()), INPUT).pinned == []


@pytest.mark.parametrize("attention", FORMS_HERE)
@pytest.mark.parametrize("layers", [2, 12, 24])
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
    module = saved_and_loaded(
        to_torchscript(packed_model(reference, attention=attention), "float16")
    )
    assert waits_in_graph(module) == [("prim::tolist", False)]
