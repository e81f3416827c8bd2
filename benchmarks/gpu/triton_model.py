"""Triton Python backend for this benchmark: the product's own, its module moved to CUDA.

The product's backend runs on a CPU, always: it loads with `map_location="cpu"`. The benchmark puts
it into the version as `product_model.py` and this file in its place. `ran_on.txt` there says what
the module ran on.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

PRODUCT = Path(__file__).with_name("product_model.py")


def product_backend() -> Any:
    specification = importlib.util.spec_from_file_location("product_model", PRODUCT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.TritonPythonModel


class TritonPythonModel(product_backend()):  # type: ignore[misc]
    """The product's, with tensors taken to the GPU and logits back."""

    def initialize(self, args: dict[str, str]) -> None:
        super().initialize(args)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        module: Any = self.module
        module.to(device)

        def run(*flat: Tensor) -> list[Tensor]:
            return [logits.cpu() for logits in module(*(one.to(device) for one in flat))]

        self.module: Callable[..., list[Tensor]] = run
        self.finalize()
        self.start_threads(1)  # whose whole batches the GPU gets
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        PRODUCT.with_name("ran_on.txt").write_text(name)
