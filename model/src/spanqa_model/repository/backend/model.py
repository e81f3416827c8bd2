"""Triton Python backend: runs the version's model.pt on a CPU, a whole batch at once.

The exporter copies this file into each version. The backend gets the requests of one dynamic batch,
joins their windows end to end, runs the packed module once, and returns to each request its part.
"""

import json
import timeit
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import triton_python_backend_utils as pb_utils

INPUTS = ("input_ids", "token_type_ids", "window_lengths")
OUTPUTS = ("start_logits__0", "end_logits__1")
# Tokens of the windows that the pace is measured with, and how often.
SHORT, LONG, TIMES = 64, 192, 3
CANCELLED = "the caller has cancelled the request"
Arrays = tuple[npt.NDArray[np.int32], ...]
Logits = list[npt.NDArray[np.float32]]


class Pace(NamedTuple):
    """Seconds of one thread for a token, and of all that share each operation.

    Those wait for each other at the end of each operation. So a batch takes them some time
    whatever its size, and then each token of it.
    """

    alone: float
    together_at_least: float
    together: float


class TritonPythonModel:
    """The model instance, which Triton creates."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version that `args` names."""
        directory = Path(args["model_repository"]) / args["model_version"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.module = torch.jit.load(str(directory / "model.pt"), map_location="cpu").eval()
        self.threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(
            self.threads, initializer=torch.set_num_threads, initargs=(1,)
        )
        manifest = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        self.pace = self.measure(manifest["max_position_embeddings"])

    def finalize(self) -> None:
        """Stop the threads when Triton unloads the version."""
        self.pool.shutdown()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request of the batch. A bad one gets an error, the others their results."""
        # Triton also batches requests that were cancelled. The check takes 50 microseconds; it is
        # skipped for a request alone.
        inputs = [
            CANCELLED if len(requests) > 1 and request.is_cancelled() else read(request)
            for request in requests
        ]
        responses = [error(part) if isinstance(part, str) else None for part in inputs]
        good = {i: part for i, part in enumerate(inputs) if not isinstance(part, str)}
        try:
            results = self.run(list(good.values())) if good else []
        except (RuntimeError, IndexError, torch.jit.Error) as failure:
            if len(good) > 1:
                return [self.execute([request])[0] for request in requests]
            results = [error(f"the model failed: {failure}")]
        for i, result in zip(good, results, strict=True):
            responses[i] = result
        return responses

    def run(self, parts: list[Arrays]) -> list[Any]:
        """Run the packed module once over all parts, and return a response for each."""
        flat = tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        logits = infer(flat, self.compute, self.pool, self.threads, self.pace)
        responses, begin = [], 0
        for input_ids, _, _ in parts:
            end = begin + len(input_ids)
            tensors = [
                pb_utils.Tensor(name, values[None, begin:end])
                for name, values in zip(OUTPUTS, logits, strict=True)
            ]
            responses.append(pb_utils.InferenceResponse(tensors))
            begin = end
        return responses

    def measure(self, longest: int) -> Pace:
        """Time a window of at most `longest` tokens, computed by one thread and by all."""

        def seconds(tokens: int, compute: Callable[[Arrays], Any]) -> float:
            ids = np.zeros(tokens, np.int32)
            window = ids, ids, np.array([tokens], np.int32)
            compute(window)
            return min(timeit.repeat(partial(compute, window), number=1, repeat=TIMES))

        long = min(LONG, longest)
        short = min(SHORT, long // 2)
        alone = seconds(long, lambda window: self.pool.submit(self.compute, window).result()) / long
        both = seconds(long, self.compute)
        together = (both - seconds(short, self.compute)) / (long - short)
        together = max(together, alone / self.threads)  # if something else took the time
        return Pace(alone, max(0.0, both - together * long), together)

    @torch.inference_mode()
    def compute(self, flat: Arrays) -> Logits:
        """Start and end logits, with as many threads as torch allows the calling thread."""
        # Lengths never repeat: the optimizing executor would specialize the graph for each batch.
        # The setting belongs to the current thread.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return [output.numpy() for output in self.module(*map(torch.from_numpy, flat))]


def infer(
    flat: Arrays, compute: Callable[[Arrays], Logits], pool: Executor, threads: int, pace: Pace
) -> Logits:
    """Start and end logits of a batch, computed as a whole or in parts by threads of the pool."""
    input_ids, token_type_ids, window_lengths = flat
    shares = share_out(window_lengths, threads, pace)
    if not shares:
        return compute(flat)
    tokens = np.split(np.arange(len(input_ids)), np.cumsum(window_lengths)[:-1])
    places = [np.concatenate([tokens[window] for window in share]) for share in shares]
    parts = [
        (input_ids[place], token_type_ids[place], window_lengths[share])
        for place, share in zip(places, shares, strict=True)
    ]
    logits = [np.empty(len(input_ids), np.float32) for _ in OUTPUTS]
    for place, outputs in zip(places, pool.map(compute, parts), strict=True):
        for whole, output in zip(logits, outputs, strict=True):
            whole[place] = output
    return logits


def share_out(window_lengths: npt.NDArray[np.int32], threads: int, pace: Pace) -> list[list[int]]:
    """The windows of each thread that gets any; none if all threads should share each operation.

    The longest window is assigned first, each to the thread with the fewest tokens so far.
    """
    shares: list[list[int]] = [[] for _ in range(threads)]
    loads = [0] * threads
    for window in np.argsort(-window_lengths, kind="stable").tolist():
        least = loads.index(min(loads))
        shares[least].append(window)
        loads[least] += int(window_lengths[window])
    together = pace.together_at_least + pace.together * sum(loads)
    return [share for share in shares if share] if pace.alone * max(loads) <= together else []


def read(request: Any) -> Arrays | str:
    """The tensors of the request, flat, or an error message."""
    arrays = tuple(
        pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel() for name in INPUTS
    )
    input_ids, token_type_ids, window_lengths = arrays
    if len(token_type_ids) != len(input_ids):
        return f"token_type_ids has {len(token_type_ids)} entries, input_ids {len(input_ids)}"
    if len(window_lengths) == 0 or window_lengths.min() < 1:
        return "window_lengths must hold at least one window, and none may be empty"
    if int(window_lengths.sum(dtype=np.int64)) != len(input_ids):
        return f"window_lengths sum to {window_lengths.sum()}, input_ids has {len(input_ids)}"
    return arrays


def error(text: str) -> Any:
    code = pb_utils.TritonError.CANCELLED if text is CANCELLED else pb_utils.TritonError.INVALID_ARG
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))
