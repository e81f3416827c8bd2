"""SpanQA's own version without Triton: its `model.py`, called as Triton calls it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.engines.batches import Inputs, Logits

TRITON = "triton_python_backend_utils"  # only Triton has it


class Packed:
    """A version directory; `batch` windows at a time, as many as Triton may have in a batch."""

    def __init__(self, version: Path, batch: int) -> None:
        self._backend = load_backend(version)
        self._model = self._backend.TritonPythonModel()
        place = {"model_repository": str(version.parent), "model_version": version.name}
        self._model.initialize(place)
        self._batch = batch

    def logits(self, windows: Sequence[Inputs]) -> list[Logits]:
        found: list[Logits] = []
        for first in range(0, len(windows), self._batch):
            found += self._run(windows[first : first + self._batch])
        return found

    def _run(self, windows: Sequence[Inputs]) -> list[Logits]:
        lengths = np.array([len(window.ids) for window in windows], dtype=np.int32)
        flat = (
            np.concatenate([window.ids for window in windows]),
            np.concatenate([window.types for window in windows]),
            lengths,
        )
        model = self._model
        logits = self._backend.infer(flat, model.compute, model.pool, model.threads, model.pace)
        starts, ends = (np.split(one, np.cumsum(lengths)[:-1]) for one in logits)
        return [Logits(*pair) for pair in zip(starts, ends, strict=True)]


def load_backend(version: Path) -> Any:
    """The version's `model.py` as a module."""
    sys.modules.setdefault(TRITON, ModuleType(TRITON))
    specification = importlib.util.spec_from_file_location("version_backend", version / "model.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
