"""Finds what would slow down an exported module on a GPU: synchronization and fixed devices.

Work on a CUDA device is queued. An operator whose result the host needs waits until the queue is
empty, and the device is idle afterwards: one such operator in each layer costs more than the layer.
And a graph that names a device, as traced ones do, can run on that device only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spanqa_model.errors import ExportError

MAX_WAITS = 2
# Operators whose result, or its size, the host has to know. The index of `aten::index` may be a
# mask, whose true entries are counted first; that of `index_select` never is.
WAITING = {
    *("aten::nonzero", "aten::nonzero_numpy", "aten::argwhere"),
    *("aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal"),
    *("aten::allclose", "prim::tolist", "aten::tolist", "aten::cpu", "aten::masked_select"),
    *("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"),
    *("aten::bincount", "aten::unique_dim", "aten::unique_consecutive", "aten::_unique"),
    "aten::_unique2",
    *("aten::tensor", "aten::as_tensor"),  # copies from the host
}
# Conversions, which are free for numbers; a tensor has to be copied to the host first.
CONVERSIONS = {
    *("aten::Int", "aten::Float", "aten::Bool", "aten::Complex", "aten::IntImplicit"),
    *("aten::FloatImplicit", "aten::ComplexImplicit", "aten::ScalarImplicit"),
}
RAN = ("aten::nonzero", "aten::_local_scalar_dense", "aten::item")


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in one module.

    `waits` are the operators of its graph that wait for the device, and `repeated` those in a loop.
    `pinned` describes what cannot move to another device. `ran` is how often one forward pass
    called each operator of `RAN`.
    """

    waits: list[str]
    repeated: list[str]
    pinned: list[str]
    ran: dict[str, int]

    def problems(self) -> list[str]:
        """Why the module is unfit for a GPU, in words; empty if it is fit."""
        found = [f"{name} in a loop" for name in self.repeated]
        if len(self.waits) > MAX_WAITS:
            found.append(f"{len(self.waits)} waits in its graph ({summary(self.waits)})")
        if sum(self.ran.values()) > MAX_WAITS:
            counts = ", ".join(f"{name} {count} times" for name, count in self.ran.items() if count)
            found.append(f"one forward pass called {counts}")
        return [*found, *self.pinned]


def check_waits(module: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> None:
    """Refuse a module that waits for its device more than twice in a forward pass, or names one.

    Args:
        module: a loaded module, on the device where the forward pass runs.
        inputs: of one forward pass, on that device.

    Raises:
        ExportError: lists all problems.
    """
    if problems := find_waits(module, inputs).problems():
        raise ExportError(
            f"the exported file would run badly on a GPU: {'; '.join(problems)}; at most "
            f"{MAX_WAITS} waits for the device and no fixed device are allowed"
        )


def find_waits(module: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> Findings:
    """Inspect the graph, and profile one forward pass."""
    waits = waits_in_graph(module)
    return Findings(
        waits=[kind for kind, _ in waits],
        repeated=[kind for kind, in_loop in waits if in_loop],
        pinned=[*pinned_constants(module), *pinned_attributes(module, inputs[0].device)],
        ran=count_calls(module, inputs),
    )


def waits_in_graph(module: torch.jit.ScriptModule) -> list[tuple[str, bool]]:
    """The operators that wait for the device, each with whether it is in a loop."""
    nodes = every_node(module.inlined_graph)
    return [(node.kind(), in_loop) for node, in_loop in nodes if waits_for_device(node)]


def every_node(block: Any, in_loop: bool = False) -> Iterator[tuple[Any, bool]]:
    """Each node of a graph, nested ones included, and whether it is in a loop."""
    for node in block.nodes():
        yield node, in_loop
        for inner in node.blocks():
            yield from every_node(inner, in_loop or node.kind() == "prim::Loop")


def waits_for_device(node: Any) -> bool:
    kind = node.kind()
    types = [value.type().kind() for value in node.inputs()]
    if kind in CONVERSIONS:
        return "TensorType" in types
    if kind == "aten::repeat_interleave":  # without output_size it has to sum up the counts
        return types.count("TensorType") > 0 and types[-1] == "NoneType"
    if kind == "aten::where":  # only the form with three tensors does not wait
        return types != ["TensorType"] * 3
    return kind in WAITING


def pinned_constants(module: torch.jit.ScriptModule) -> Iterator[str]:
    """Constants of the graph that are devices, or tensors of one or more dimensions."""
    graph = module.inlined_graph
    for node, _ in every_node(graph):
        if node.kind() != "prim::Constant" or node.output().type().kind() == "NoneType":
            continue
        value = node.output().toIValue()
        if isinstance(value, torch.device):
            users = sorted({use.user.kind() for use in node.output().uses()})
            yield f"the device {value} is fixed for {summary(users)}"
        elif any(tensor.dim() > 0 for tensor in tensors_in(value)):
            yield "a tensor is a constant of its graph"


def pinned_attributes(module: torch.jit.ScriptModule, device: torch.device) -> Iterator[str]:
    """Tensors that the graph reads from another device, or that `module.to` would not move."""
    graph = module.inlined_graph
    values: dict[str, Any] = {next(graph.inputs()).debugName(): module}
    for node, _ in every_node(graph):
        if node.kind() != "prim::GetAttr":
            continue
        name = node.s("name")
        value = getattr(values[next(node.inputs()).debugName()], name)
        values[node.output().debugName()] = value
        if isinstance(value, Tensor) and value.device.type != device.type:
            yield f"the tensor {name} is on {value.device}, the module on {device}"
        elif not isinstance(value, Tensor) and list(tensors_in(value)):
            yield f"the attribute {name} holds tensors that cannot be moved"


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(one)


def count_calls(module: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """How often one forward pass calls each operator of `RAN`."""
    optimized = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
    # The default, Kineto, writes to stderr.
    profiler = torch.autograd.profiler.profile(use_kineto=False)
    with profiler as profile, optimized, torch.no_grad():
        module(*inputs)
    calls = {event.key: event.count for event in profile.key_averages()}
    return {name: calls.get(name, 0) for name in RAN}


def summary(names: list[str]) -> str:
    """Each name once, with its count if it occurs more than once."""
    counts = {name: names.count(name) for name in names}
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in counts.items())
