"""What in an exported module keeps it from running freely on a GPU, found in the file itself.

Work on a CUDA device is queued. An operator whose result the host has to know waits until the
queue is empty, and the device idles afterwards: one such operator in each layer costs more than the
layer. And what names a device, as tracing leaves it behind, computes on that one only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spanqa_model.errors import ExportError

MOST_WAITS = 2
# Operators whose result, or the size of whose result, has to come to the host. An index may be a
# mask, whose true entries are counted first; `index_select` never has to.
WAITING = {
    *("aten::nonzero", "aten::nonzero_numpy", "aten::argwhere"),
    *("aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal"),
    *("aten::allclose", "prim::tolist", "aten::tolist", "aten::cpu", "aten::masked_select"),
    *("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"),
    *("aten::bincount", "aten::unique_dim", "aten::unique_consecutive", "aten::_unique"),
    "aten::_unique2",
    *("aten::tensor", "aten::as_tensor"),  # from the host's values
}
# These convert numbers too, which costs nothing; a tensor has to come to the host first.
OF_A_TENSOR = {
    *("aten::Int", "aten::Float", "aten::Bool", "aten::Complex", "aten::IntImplicit"),
    *("aten::FloatImplicit", "aten::ComplexImplicit", "aten::ScalarImplicit"),
}
RAN = ("aten::nonzero", "aten::_local_scalar_dense", "aten::item")


@dataclass(frozen=True, slots=True)
class Findings:
    """Of one module.

    `waits` are operators of its graph, `repeated` those among them in a loop, `pinned` is what
    cannot be moved to another device, `ran` how often one forward called each operator of `RAN`.
    """

    waits: list[str]
    repeated: list[str]
    pinned: list[str]
    ran: dict[str, int]

    def troubles(self) -> list[str]:
        """What makes it unfit for a GPU, in words; nothing where it is fit."""
        found = [f"{name} in a loop" for name in self.repeated]
        if len(self.waits) > MOST_WAITS:
            found.append(f"{len(self.waits)} waits in its graph ({told(self.waits)})")
        if sum(self.ran.values()) > MOST_WAITS:
            counts = ", ".join(f"{name} {count} times" for name, count in self.ran.items() if count)
            found.append(f"one forward ran {counts}")
        return [*found, *self.pinned]


def check_waits(module: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> None:
    """Refuse a module that waits for its device more than twice a forward, or is pinned to one.

    Args:
        module: as it was loaded, on the device where it can be tried.
        inputs: of one forward, on that device.

    Raises:
        ExportError: with all that was found.
    """
    if troubles := find_waits(module, inputs).troubles():
        raise ExportError(
            f"the exported file would run badly on a GPU: {'; '.join(troubles)}; at most "
            f"{MOST_WAITS} waits for the device are allowed, and no fixed device"
        )


def find_waits(module: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> Findings:
    """Look at the graph, and run one forward."""
    waits = waits_in_graph(module)
    return Findings(
        waits=[kind for kind, _ in waits],
        repeated=[kind for kind, in_loop in waits if in_loop],
        pinned=[*pinned_constants(module), *pinned_attributes(module, inputs[0].device)],
        ran=count_calls(module, inputs),
    )


def waits_in_graph(module: torch.jit.ScriptModule) -> list[tuple[str, bool]]:
    """Operators that wait for the device, and whether each may run any number of times."""
    nodes = every_node(module.inlined_graph)
    return [(node.kind(), in_loop) for node, in_loop in nodes if waits_for_device(node)]


def every_node(block: Any, in_loop: bool = False) -> Iterator[tuple[Any, bool]]:
    """Each node of a graph, and whether it may run any number of times."""
    for node in block.nodes():
        yield node, in_loop
        for inner in node.blocks():
            yield from every_node(inner, in_loop or node.kind() == "prim::Loop")


def waits_for_device(node: Any) -> bool:
    kind = node.kind()
    types = [value.type().kind() for value in node.inputs()]
    if kind in OF_A_TENSOR:
        return "TensorType" in types
    if kind == "aten::repeat_interleave":  # of tensors, with no output_size: it counts itself
        return types.count("TensorType") > 0 and types[-1] == "NoneType"
    if kind == "aten::where":  # its condition's true places, or numbers that are copied there
        return types != ["TensorType"] * 3
    return kind in WAITING


def pinned_constants(module: torch.jit.ScriptModule) -> Iterator[str]:
    """Devices that are named, and tensors of one or more dimensions."""
    graph = module.inlined_graph
    for node, _ in every_node(graph):
        if node.kind() != "prim::Constant" or node.output().type().kind() == "NoneType":
            continue
        value = node.output().toIValue()
        if isinstance(value, torch.device):
            users = sorted({use.user.kind() for use in node.output().uses()})
            yield f"the device {value} is fixed for {told(users)}"
        elif any(tensor.dim() > 0 for tensor in tensors_in(value)):
            yield "a tensor is a constant of its graph"


def pinned_attributes(module: torch.jit.ScriptModule, device: torch.device) -> Iterator[str]:
    """Tensors that its graph reads and that are elsewhere, or that `to` would not move."""
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
            yield f"the attribute {name} holds tensors that stay where they are"


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(one)


def count_calls(module: torch.jit.ScriptModule, inputs: tuple[Tensor, ...]) -> dict[str, int]:
    """How often one forward calls each operator of `RAN`."""
    optimized = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
    # Kineto, the default, writes lines of its own to stderr.
    profiler = torch.autograd.profiler.profile(use_kineto=False)
    with profiler as profile, optimized, torch.no_grad():
        module(*inputs)
    calls = {event.key: event.count for event in profile.key_averages()}
    return {name: calls.get(name, 0) for name in RAN}


def told(names: list[str]) -> str:
    """Each name once, with how often it comes where that is more than once."""
    counts = {name: names.count(name) for name in names}
    return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in counts.items())
