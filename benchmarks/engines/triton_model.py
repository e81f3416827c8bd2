"""Triton Python backend for this benchmark: an engine that gets each batch whole, and all cores.

The benchmark puts it into a version as `model.py`, the product's as `product_model.py`, and beside
them `engine.json`, which names the engine, its graphs, and where this repository is.
"""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
GIVEN = json.loads((HERE / "engine.json").read_text())
sys.path.append(GIVEN["root"])


def product_backend() -> Any:
    specification = importlib.util.spec_from_file_location(
        "product_model", HERE / "product_model.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


PRODUCT = product_backend()


class TritonPythonModel:
    """The engine, behind what the product reads of a request."""

    def initialize(self, args: dict[str, str]) -> None:
        from benchmarks.engines.runners import make_runner
        from benchmarks.engines.variants import VARIANTS

        self.engine = make_runner(VARIANTS[GIVEN["variant"]], Path(GIVEN["graphs"]))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the batch, each window at its own length."""
        from benchmarks.engines.batches import windows_of

        parts = [windows_of(*PRODUCT.read(request)) for request in requests]
        logits = iter(self.engine.logits([window for part in parts for window in part]))
        return [response([next(logits) for _ in part]) for part in parts]


def response(windows: list[Any]) -> Any:
    """Of a request, from start and end logits of its windows."""
    named = zip(PRODUCT.OUTPUTS, zip(*windows, strict=True), strict=True)
    return pb_utils.InferenceResponse(
        [pb_utils.Tensor(name, np.concatenate(parts)[None]) for name, parts in named]
    )
