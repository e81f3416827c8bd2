"""OpenVINO and ONNX Runtime at work: as many batches at a time as there are cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.batches import Inputs, Logits, Runner, cut, feed, unpadded
from benchmarks.engines.packages import use_packages
from benchmarks.engines.variants import Variant


class OnnxRuntime:
    """One session with one thread an operation, run by a thread for each core.

    This was faster than threads that share operations: 1.19 times with int8 on two cores.
    """

    def __init__(self, graph: Path, batch: int = 1) -> None:
        use_packages()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
        self._types = {
            one.name: np.int32 if one.type == "tensor(int32)" else np.int64
            for one in self._session.get_inputs()
        }
        self._batch = batch
        self._pool = ThreadPoolExecutor(os.cpu_count())

    def logits(self, windows: Sequence[Inputs]) -> list[Logits]:
        batches = cut([len(window.ids) for window in windows], self._batch)
        computed = self._pool.map(lambda batch: self._run([windows[at] for at in batch]), batches)
        return in_order(batches, computed)

    def _run(self, windows: list[Inputs]) -> list[Logits]:
        given = feed(windows)
        arrays = {name: given[name].astype(kind) for name, kind in self._types.items()}
        return unpadded(windows, *self._session.run(None, arrays))


class OpenVino:
    """An asynchronous queue of requests, as many as OpenVINO wants for throughput."""

    def __init__(self, graph: Path, precision: str, batch: int = 1) -> None:
        use_packages()
        import openvino

        settings = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        core = openvino.Core()
        self._model = core.compile_model(str(graph), "CPU", settings)
        self._names = [one.get_any_name() for one in self._model.inputs]
        self._queue = openvino.AsyncInferQueue(self._model)
        self._queue.set_callback(self._done)
        self._batch = batch

    @property
    def streams(self) -> int:
        """How many requests it computes at a time."""
        return int(self._model.get_property("NUM_STREAMS"))

    def logits(self, windows: Sequence[Inputs]) -> list[Logits]:
        batches = cut([len(window.ids) for window in windows], self._batch)
        computed: list[list[Logits]] = [[] for _ in batches]
        for batch, place in zip(batches, computed, strict=True):
            chosen = [windows[at] for at in batch]
            given = feed(chosen)
            self._queue.start_async([given[name] for name in self._names], (chosen, place))
        self._queue.wait_all()
        return in_order(batches, computed)

    @staticmethod
    def _done(request: Any, asked: tuple[list[Inputs], list[Logits]]) -> None:
        windows, place = asked
        starts, ends = (request.get_output_tensor(at).data for at in range(2))
        place += unpadded(windows, starts, ends)


def in_order(batches: Sequence[list[int]], computed: Any) -> list[Logits]:
    """Results of batches in the order of the windows."""
    found = {
        at: logits
        for batch, results in zip(batches, computed, strict=True)
        for at, logits in zip(batch, results, strict=True)
    }
    return [found[at] for at in range(len(found))]


def make_runner(variant: Variant, graphs: Path, batch: int = 1) -> Runner:
    """Load a graph; batches of more than one window need the graph with a mask."""
    graph = graphs / variant.file(padded=batch > 1)
    if variant.engine == "OpenVINO":
        return OpenVino(graph, variant.precision, batch)
    return OnnxRuntime(graph, batch)
