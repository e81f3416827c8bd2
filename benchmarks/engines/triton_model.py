"""Triton Python backend for this benchmark: the product's own, with an engine for its module.

The benchmark puts it into a version as `model.py`, the product's as `product_model.py`, and beside
them `engine.json`, which names the engine, its graphs, and where this repository is.
"""

import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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


class TritonPythonModel(PRODUCT.TritonPythonModel):  # type: ignore[misc, name-defined]
    """The product's, which gives each batch whole to the engine, and the engine to all cores."""

    def initialize(self, args: dict[str, str]) -> None:
        from benchmarks.engines.runners import make_runner
        from benchmarks.engines.variants import VARIANTS

        self.engine = make_runner(VARIANTS[GIVEN["variant"]], Path(GIVEN["graphs"]))
        self.threads = 1
        self.pool = ThreadPoolExecutor(1)
        # The product then divides no batch.
        self.pace = PRODUCT.Pace(alone=1.0, together_at_least=0.0, together=0.0)

    def compute(self, flat: tuple[npt.NDArray[np.int32], ...]) -> list[npt.NDArray[np.float32]]:
        """Start and end logits, each window at its own length."""
        from benchmarks.engines.batches import windows_of

        logits = self.engine.logits(windows_of(*flat))
        return [np.concatenate(parts) for parts in zip(*logits, strict=True)]
