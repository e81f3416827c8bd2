"""SpanQA's own version without Triton: its `model.py`, called as Triton calls it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.engines.batches import Floats, Inputs, Logits

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
        answers = [Answer() for _ in windows]
        for first in range(0, len(windows), self._batch):
            batch = slice(first, first + self._batch)
            self._start(windows[batch], answers[batch])
        return [Logits(*answer.logits.result()) for answer in answers]

    def _start(self, windows: Sequence[Inputs], answers: Sequence[Answer]) -> None:
        jobs = [
            self._backend.Job(answer, (window.ids, window.types, np.array([len(window.ids)])))
            for window, answer in zip(windows, answers, strict=True)
        ]
        self._model.start([window for job in jobs for window in job.windows()])


class Answer:
    """Takes the response to a window."""

    def __init__(self) -> None:
        self.logits: Future[list[Floats]] = Future()

    def is_cancelled(self) -> bool:
        return False

    def send(self, response: list[Floats], flags: int) -> None:
        self.logits.set_result(response)


class Triton(ModuleType):
    """What a response is made of."""

    TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1
    TritonModelException = RuntimeError

    @staticmethod
    def Tensor(name: str, values: Floats) -> Floats:  # noqa: N802 (Triton's name)
        flat: Floats = values[0]
        return flat

    @staticmethod
    def InferenceResponse(tensors: list[Floats]) -> list[Floats]:  # noqa: N802
        return tensors


def load_backend(version: Path) -> Any:
    """The version's `model.py` as a module."""
    sys.modules.setdefault(TRITON, Triton(TRITON))
    specification = importlib.util.spec_from_file_location("version_backend", version / "model.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
