"""Triton Python backend: runs the version's model.pt on a CPU, a whole batch at once.

The exporter copies this file into each version. It gets the requests of one dynamic batch,
joins their windows end to end, runs the packed module once and hands each request its part.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import triton_python_backend_utils as pb_utils

INPUTS = ("input_ids", "token_type_ids", "window_lengths")
OUTPUTS = ("start_logits__0", "end_logits__1")
# Threads that share each operation wait for each other at its end; with so many windows for each
# of them they rather take windows of their own.
WINDOWS_PER_THREAD = 4
Arrays = tuple[npt.NDArray[np.int32], ...]


class TritonPythonModel:
    """The model instance, made by Triton."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version that Triton asks for."""
        directory = Path(args["model_repository"]) / args["model_version"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.module = torch.jit.load(str(directory / "model.pt"), map_location="cpu").eval()
        self.threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(
            self.threads, initializer=torch.set_num_threads, initargs=(1,)
        )

    def finalize(self) -> None:
        """End the threads: Triton unloads the version."""
        self.pool.shutdown()

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request of the batch; a bad one gets an error, its neighbours do not."""
        inputs = [read(request) for request in requests]
        responses = [error(part) if isinstance(part, str) else None for part in inputs]
        good = {i: part for i, part in enumerate(inputs) if not isinstance(part, str)}
        try:
            results = self.run(list(good.values())) if good else []
        except (RuntimeError, IndexError) as failure:
            if len(good) > 1:
                return [self.execute([request])[0] for request in requests]
            results = [error(f"the model failed: {failure}")]
        for i, result in zip(good, results, strict=True):
            responses[i] = result
        return responses

    def run(self, parts: list[Arrays]) -> list[Any]:
        """One pass of the packed module over all parts; a response for each."""
        flat = tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        shares = share_out(flat, self.threads)
        results = list((self.pool.map if len(shares) > 1 else map)(self.infer, shares))
        logits = [np.concatenate(pieces) for pieces in zip(*results, strict=True)]
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

    @torch.inference_mode()
    def infer(self, arrays: Arrays) -> list[npt.NDArray[np.float32]]:
        """Start and end logits, in as many threads as the calling one may use."""
        # Lengths never repeat: without this the executor would optimize for each anew. It holds
        # for the thread that says it.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return [output.numpy() for output in self.module(*map(torch.from_numpy, arrays))]


def share_out(flat: Arrays, threads: int) -> list[Arrays]:
    """Cut a batch between windows into parts of nearly as many tokens, one for each thread."""
    input_ids, token_type_ids, window_lengths = flat
    if threads == 1 or len(window_lengths) < WINDOWS_PER_THREAD * threads:
        return [flat]
    ends = np.cumsum(window_lengths, dtype=np.int64)
    wanted = ends[-1] * np.arange(1, threads) / threads
    cuts = np.unique(np.abs(ends[:, None] - wanted).argmin(axis=0)) + 1
    tokens = ends[cuts - 1]
    pieces = (
        np.split(input_ids, tokens),
        np.split(token_type_ids, tokens),
        np.split(window_lengths, cuts),
    )
    return [piece for piece in zip(*pieces, strict=True) if len(piece[0])]


def read(request: Any) -> Arrays | str:
    """The request's tensors, flat, or what is wrong with them."""
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
    return pb_utils.InferenceResponse(
        error=pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG)
    )
