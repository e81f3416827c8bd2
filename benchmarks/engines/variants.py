"""The engines and precisions that take part, and the graph that each of them runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spanqa_model.packed_bert.devices import default_dtype


@dataclass(frozen=True, slots=True)
class Variant:
    """An engine with a precision; `graph` is how its file was made (see `graphs.py`)."""

    engine: Literal["OpenVINO", "ONNX Runtime"]
    graph: Literal["plain", "dynamic", "calibrated"]
    precision: str = "f32"

    def file(self, *, padded: bool) -> str:
        """The file's name. Windows of one length need no mask, so theirs is a graph without."""
        ending = "xml" if self.graph == "calibrated" else "onnx"
        return f"{'padded' if padded else 'own'}-{self.graph}.{ending}"


VARIANTS = {
    "ONNX Runtime, float32": Variant("ONNX Runtime", "plain"),
    "ONNX Runtime, int8": Variant("ONNX Runtime", "dynamic"),
    "OpenVINO, float32": Variant("OpenVINO", "plain"),
    "OpenVINO, bfloat16": Variant("OpenVINO", "plain", "bf16"),
    "OpenVINO, int8": Variant("OpenVINO", "calibrated"),
}


def usual() -> list[str]:
    """All, but bfloat16 only where the CPU has it: elsewhere OpenVINO takes seconds a window."""
    native = default_dtype("cpu") == "bfloat16"
    return [name for name, variant in VARIANTS.items() if native or variant.precision != "bf16"]


def beside(dtype: str) -> list[str]:
    """Those that are compared with ours in this dtype: the same precision, and int8."""
    return [name for name in usual() if name.endswith((f", {dtype}", ", int8"))]
