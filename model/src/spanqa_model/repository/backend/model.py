"""Triton Python backend: runs the version's model.pt on a CPU, windows of many requests at once.

The exporter copies this file into each version. The backend gets the requests of one dynamic batch,
shares their windows out to its threads, and takes the next batch as soon as each share has its
thread. So no thread waits for another, and an answer goes out when its own windows are computed.
"""

import itertools
import json
import threading
import timeit
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
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


# Beside a thread that is busy, the others do not share operations.
NEVER_TOGETHER = Pace(alone=0.0, together_at_least=0.0, together=0.0)


class Job:
    """A request, and as much of its answer as is there."""

    def __init__(self, sender: Any, arrays: Arrays) -> None:
        """Nothing is computed.

        Args:
            sender: takes the response.
            arrays: input_ids [T], token_type_ids [T], window_lengths [W].
        """
        self.sender = sender
        # Triton takes its memory back before the answer is there.
        self.input_ids, self.token_type_ids, lengths = (array.copy() for array in arrays)
        self.logits = [np.empty(len(self.input_ids), np.float32) for _ in OUTPUTS]
        self.problem = ""
        self.ends = np.cumsum(lengths).tolist()
        self.left = len(self.ends)

    def windows(self) -> list["Window"]:
        """Its windows; not kept, so that all memory of it is free when they are."""
        return [Window(self, *span) for span in itertools.pairwise([0, *self.ends])]

    def is_over(self) -> bool:
        """Whether it has failed, or nobody waits for it any more."""
        if not self.problem and self.sender.is_cancelled():
            self.problem = CANCELLED
        return bool(self.problem)

    def response(self) -> Any:
        """What Triton gets."""
        if self.problem:
            return error(self.problem)
        named = zip(OUTPUTS, self.logits, strict=True)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, one[None]) for name, one in named])


class Window(NamedTuple):
    """A window of a request, by where its tokens are there."""

    job: Job
    begin: int
    end: int


class TritonPythonModel:
    """The model instance, which Triton creates."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version that `args` names."""
        directory = Path(args["model_repository"]) / args["model_version"]
        manifest = json.loads((directory / "model.json").read_text(encoding="utf-8"))
        engine = manifest.get("quantized_engine")
        if engine in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = engine
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            loaded = torch.jit.load(str(directory / "model.pt"), map_location="cpu").eval()
            # Attributes that are constants need no search in each call.
            self.module = torch.jit.freeze(loaded, optimize_numerics=False)
        self.start_threads(torch.get_num_threads())
        self.pace = self.measure(manifest["max_position_embeddings"])

    def start_threads(self, threads: int) -> None:
        """Make the threads that compute, and one that sends responses."""
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        self.sending = ThreadPoolExecutor(1)
        self.shares: list[Future[None]] = []
        self.taken = threading.Semaphore(0)
        self.lock = threading.Lock()

    def finalize(self) -> None:
        """Stop the threads when Triton unloads the version."""
        self.pool.shutdown()
        self.sending.shutdown()

    def execute(self, requests: list[Any]) -> None:
        """Begin with every request of the batch. A bad one gets an error."""
        jobs = []
        for request in requests:
            sender, arrays = request.get_response_sender(), read(request)
            if isinstance(arrays, str):
                send(sender, error(arrays))
            else:
                jobs.append(Job(sender, arrays))
        self.start([window for job in jobs for window in job.windows()])

    def start(self, windows: list[Window]) -> None:
        """Return when each window has its thread; what comes meanwhile is Triton's next batch."""
        self.shares = [share for share in self.shares if not share.done()]
        pace = NEVER_TOGETHER if self.shares else self.pace
        shares = share_out([end - begin for _, begin, end in windows], self.threads, pace)
        if not shares:
            self.answer(windows)
        for share in shares:
            part = [windows[index] for index in share]
            self.shares.append(self.pool.submit(self.take, part))
        for _ in shares:
            self.taken.acquire()

    def take(self, windows: list[Window]) -> None:
        """Answer a share, in its thread."""
        self.taken.release()
        self.answer(windows)

    def answer(self, windows: list[Window]) -> None:
        """Compute windows, and send the responses of the requests that are complete then."""
        # Asking Triton takes 50 microseconds; it is not worth that for a window alone.
        jobs = {window.job for window in windows} if len(windows) > 1 else set()
        over = {job for job in jobs if job.is_over()}
        self.infer([window for window in windows if window.job not in over])
        for window in windows:
            with self.lock:
                window.job.left -= 1
                complete = not window.job.left
            if complete:
                self.sending.submit(send, window.job.sender, window.job.response())

    def infer(self, windows: list[Window]) -> None:
        """Run the packed module once over all windows; if it fails, once for each request."""
        if not windows:
            return
        try:
            logits = self.compute(
                (
                    np.concatenate([job.input_ids[begin:end] for job, begin, end in windows]),
                    np.concatenate([job.token_type_ids[begin:end] for job, begin, end in windows]),
                    np.array([end - begin for _, begin, end in windows], np.int32),
                )
            )
        except Exception as failure:  # whatever it is, somebody waits for a response
            jobs = {window.job for window in windows}
            for job in jobs if len(jobs) > 1 else ():
                self.infer([window for window in windows if window.job is job])
            if len(jobs) == 1:
                windows[0].job.problem = f"the model failed: {failure}"
            return
        first = 0
        for job, begin, end in windows:
            last = first + end - begin
            for whole, part in zip(job.logits, logits, strict=True):
                whole[begin:end] = part[first:last]
            first = last

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


def share_out(window_lengths: list[int], threads: int, pace: Pace) -> list[list[int]]:
    """The windows of each thread that gets any; none if all threads should share each operation.

    The longest window is assigned first, each to the thread with the fewest tokens so far.
    """
    shares: list[list[int]] = [[] for _ in range(threads)]
    loads = [0] * threads
    for window in sorted(range(len(window_lengths)), key=lambda index: -window_lengths[index]):
        least = loads.index(min(loads))
        shares[least].append(window)
        loads[least] += window_lengths[window]
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


def send(sender: Any, response: Any) -> None:
    """Give Triton the response of a request."""
    try:
        sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
    except pb_utils.TritonModelException as failure:
        pb_utils.Logger.log_error(f"a response was not sent: {failure}")


def error(text: str) -> Any:
    code = pb_utils.TritonError.CANCELLED if text is CANCELLED else pb_utils.TritonError.INVALID_ARG
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))
