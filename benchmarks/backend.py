"""What Triton and its Python backend cost: the same TorchScript there and in a plain process.

`.venv/bin/python benchmarks/backend.py`. Equal batches: whole batches are sent as one request each,
two under way, so that the backend is never idle; in the plain process they are run one after the
other, windows shared out to the threads as the backend does it. In turns, medians of rounds, in
tokens per second by the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from models import prepared_weights  # noqa: E402
from spanqa_server.qa.windows import PackedWindows, pack_windows, plan_windows  # noqa: E402
from spanqa_server.triton.client import Triton, VersionInference  # noqa: E402
from spanqa_server.scheduling.token_budget import TokenBudget  # noqa: E402
from spanqa_server.versions.repository import MODEL_NAME, load_version  # noqa: E402
from support.processes import RunningServer, running_server  # noqa: E402
from support.triton import LIMITS, address_of  # noqa: E402
from workload import add_data_option, squad_mix  # noqa: E402


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--shape", choices=("embedded", "bert-large"), default="embedded")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--batches", type=int, default=16, help="in a round")
    parser.add_argument("--windows", type=int, default=16, help="in a batch")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with prepared_weights(arguments.shape, arguments.dtype) as weights:
        version = weights.repositories["packed"] / MODEL_NAME / "1"
        batches = make_batches(arguments, version)
        tokens = sum(len(batch.input_ids) for batch in batches)
        there, plain = measure(weights.repositories["packed"], version, batches, arguments.rounds)
    rates = [tokens / statistics.median(seconds) for seconds in (there, plain)]
    print(
        f"{arguments.shape}, {arguments.dtype}, batches of {arguments.windows} windows: "
        f"{rates[0]:,.0f} tokens/s through Triton, {rates[1]:,.0f} in a plain process: "
        f"{rates[0] / rates[1]:.1%}"
    )


def make_batches(arguments: argparse.Namespace, version: Path) -> list[PackedWindows]:
    tokenizer = load_version(version).tokenizer
    windows = []
    for request in squad_mix(arguments.data, arguments.batches * arguments.windows):
        question = tokenizer.encode(request.question).ids
        context = tokenizer.encode(request.context).ids[: 381 - len(question)]
        plan = plan_windows(len(context), len(context), 0)
        windows.append(
            pack_windows(question, context, plan, cls_id=tokenizer.cls_id, sep_id=tokenizer.sep_id)
        )
    groups = [windows[at :: arguments.batches] for at in range(arguments.batches)]
    return [
        PackedWindows(
            *(
                np.concatenate([getattr(one, name) for one in group])
                for name in ("input_ids", "token_type_ids", "window_lengths")
            )
        )
        for group in groups
    ]


def measure(
    repository: Path, version: Path, batches: list[PackedWindows], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of each round through Triton and in the plain process."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=run_plain, args=(theirs, version, batches), daemon=True)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the embedded Triton has it
    process.start()
    there, plain = [], []
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server(repository, Path(directory) / "log") as server,
    ):
        for _ in range(rounds + 1):
            there.append(asyncio.run(run_there(server, batches)))
            ours.send(None)
            plain.append(ours.recv())
    process.kill()
    process.join()
    return there[1:], plain[1:]


async def run_there(server: RunningServer, batches: list[PackedWindows]) -> float:
    budget = TokenBudget(1 << 30)
    triton = Triton([address_of(server)], MODEL_NAME, budget=budget, max_chunk_tokens=1 << 30)
    model, left = VersionInference(triton, "1", LIMITS), iter(batches)

    async def caller() -> None:
        for batch in left:
            await model.infer(batch)

    begin = perf_counter()
    await asyncio.gather(caller(), caller())
    seconds = perf_counter() - begin
    await triton.close()
    return seconds


def run_plain(connection: Connection, version: Path, batches: list[PackedWindows]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import torch

    from packed_variants import Arrays, backend
    from spanqa_model.build import torchscript_deprecation_accepted

    with torchscript_deprecation_accepted():
        module = torch.jit.load(str(version / "model.pt"), map_location="cpu").eval()

    def compute(arrays: Arrays) -> list[npt.NDArray[np.float32]]:
        inputs = map(torch.from_numpy, arrays)
        with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return [output.numpy() for output in module(*inputs)]

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        while True:
            connection.recv()
            begin = perf_counter()
            for batch in batches:
                arrays = (batch.input_ids, batch.token_type_ids, batch.window_lengths)
                backend()["infer"](arrays, compute, pool, threads)
            connection.send(perf_counter() - begin)


if __name__ == "__main__":
    main()
