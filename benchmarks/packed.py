"""The packed model's variants on this CPU: tokens per second, each beside the model as exported.

`.venv/bin/python benchmarks/packed.py`. Batches of SQuAD windows; every variant runs them in
turns, round after round, and the table has medians. Attention, linear layers and executors are
exchanged inside one process; threads, allocators and other settings of a process have one each.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import cast

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

import psutil  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402
from rich.table import Table  # noqa: E402

from backend import make_batches  # noqa: E402
from machine import machine  # noqa: E402
from models import bert_large, embedded  # noqa: E402
from packed_variants import PRESENT  # noqa: E402
from shapes import BERT_LARGE  # noqa: E402
from spanqa_server.qa.windows import PackedWindows  # noqa: E402
from spanqa_server.triton.embedded.process import pytriton_package, triton_environment  # noqa: E402
from stages import VERSION  # noqa: E402
from workload import add_data_option  # noqa: E402

# What the embedded Triton's process gets for speed, from the place that sets it.
FOR_SPEED = ("OMP_", "MALLOC_", "ONEDNN_", "LRU_")
ALLOCATORS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A process's environment; `without` names variables of the embedded Triton to leave out."""

    extra: dict[str, str] = field(default_factory=dict)
    without: str = "-"
    threads: int = 0

    def environment(self) -> dict[str, str]:
        ours = triton_environment(pytriton_package(), self.threads)
        names = [name for name in ours if name.startswith(FOR_SPEED)]
        kept = {name: ours[name] for name in names if not name.startswith(self.without)}
        return kept | self.extra


SETTINGS = {
    "threads: 1": Setting(threads=1),
    "threads: that spin": Setting({"OMP_WAIT_POLICY": "ACTIVE"}),
    "allocator: glibc, default": Setting(without="MALLOC_"),
    "memory: huge pages": Setting({"THP_MEM_ALLOC_ENABLE": "1"}),
}


@dataclass(frozen=True, slots=True)
class Worker:
    """A process with variants; it is stopped between its turns, since its threads may spin."""

    connection: Connection
    process: psutil.Process

    def variants(self) -> list[str]:
        names = cast(list[str], self.connection.recv())
        self.process.suspend()
        return names

    def run(self, variant: str) -> tuple[float, float]:
        """Seconds, and the mean difference of a logit to the eager float32 module's."""
        self.process.resume()
        self.connection.send(variant)
        took = cast(tuple[float, float], self.connection.recv())
        self.process.suspend()
        return took


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    settings = {PRESENT: Setting()} | SETTINGS | allocators(arguments.libraries)
    with (
        tempfile.TemporaryDirectory(prefix="spanqa-bench-") as name,
        contextlib.ExitStack() as all_,
    ):
        checkpoint = Path(name)
        if arguments.shape == "embedded":
            embedded(checkpoint)
        else:
            bert_large(checkpoint, BERT_LARGE | {"num_hidden_layers": arguments.layers})
        batches = make_batches(arguments, VERSION)
        workers: dict[str, tuple[Worker, str]] = {}
        for setting in track(settings, "starting", console=Console(stderr=True)):
            worker = all_.enter_context(
                process(settings[setting], checkpoint, arguments.dtype, batches, setting == PRESENT)
            )
            for variant in worker.variants():
                workers[setting if variant == PRESENT else variant] = (worker, variant)
        rates, differences = measure(workers, arguments.rounds, batches)
    show(arguments, rates, differences)
    if arguments.json:
        add_result(arguments, rates, differences)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--shape", choices=("embedded", "bert-large"), default="embedded")
    parser.add_argument("--layers", type=int, default=4, help="of BERT-large's 24")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--batches", type=int, default=2, help="in a round")
    parser.add_argument("--windows", type=int, default=16, help="in a batch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--libraries", type=Path, default=Path("/usr/lib/x86_64-linux-gnu"), help="with allocators"
    )
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    return parser.parse_args()


def allocators(libraries: Path) -> dict[str, Setting]:
    """Those that are there; the others are named."""
    found = {}
    for name, file in ALLOCATORS.items():
        if (libraries / file).exists():
            found[f"allocator: {name}"] = Setting({"LD_PRELOAD": str(libraries / file)}, "MALLOC_")
        else:
            print(f"no {libraries / file}: {name} is left out (--libraries)", file=sys.stderr)
    return found


@contextlib.contextmanager
def process(
    setting: Setting, checkpoint: Path, dtype: str, batches: list[PackedWindows], everything: bool
) -> Iterator[Worker]:
    """A process that runs the batches with the variant that it is sent, and tells the seconds."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    worker = spawn.Process(target=work, args=(theirs, checkpoint, dtype, batches, everything))
    before = dict(os.environ)
    os.environ.update(setting.environment())
    try:
        worker.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        yield Worker(ours, psutil.Process(worker.pid))
    finally:
        worker.kill()
        worker.join()


def work(
    connection: Connection,
    checkpoint: Path,
    dtype: str,
    batches: list[PackedWindows],
    everything: bool,
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import torch

    from packed_variants import make_variants
    from spanqa_model.build import build_module
    from spanqa_model.checkpoint import load_checkpoint

    loaded = load_checkpoint(checkpoint)
    module = build_module(loaded.config, loaded.state_dict)
    inputs = [(one.input_ids, one.token_type_ids, one.window_lengths) for one in batches]
    with torch.inference_mode():
        expected = torch.stack(module(*map(torch.from_numpy, inputs[-1])))
    variants = make_variants(module, dtype, everything)
    connection.send(list(variants))
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        while True:
            variant = variants[connection.recv()]
            begin = perf_counter()
            logits = variant.run(inputs, pool)
            seconds = perf_counter() - begin
            connection.send((seconds, float((logits - expected).abs().mean())))


def measure(
    workers: dict[str, tuple[Worker, str]], rounds: int, batches: list[PackedWindows]
) -> tuple[dict[str, float], dict[str, float]]:
    """Tokens per second, and the mean difference of a logit to the eager float32 module's."""
    tokens = sum(len(batch.input_ids) for batch in batches)
    seconds: dict[str, list[float]] = defaultdict(list)
    differences = {}
    turns = [name for _ in range(rounds + 1) for name in workers]
    for name in track(turns, "measuring", console=Console(stderr=True)):
        worker, variant = workers[name]
        took, differences[name] = worker.run(variant)
        seconds[name].append(took)
    return {
        name: tokens / statistics.median(all_[1:]) for name, all_ in seconds.items()
    }, differences


def show(
    arguments: argparse.Namespace, rates: dict[str, float], differences: dict[str, float]
) -> None:
    table = Table(
        title=f"{arguments.shape}, {arguments.dtype}, {arguments.windows} windows a batch"
    )
    for column in ("variant", "tokens/s", "beside as exported", "mean |Δ logit|"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name, rate in rates.items():
        ratio = rate / rates[PRESENT]
        table.add_row(name, f"{rate:,.0f}", f"{ratio:.2f}", f"{differences[name]:.1e}")
    Console(width=100).print(table)


def add_result(
    arguments: argparse.Namespace, rates: dict[str, float], differences: dict[str, float]
) -> None:
    """Beside those of other shapes and dtypes that the file holds."""
    file: Path = arguments.json
    results = json.loads(file.read_text()) if file.exists() else {}
    results["machine"] = machine()
    results[f"{arguments.shape}, {arguments.dtype}"] = {
        "arguments": {
            name: getattr(arguments, name) for name in ("layers", "batches", "windows", "rounds")
        },
        "tokens_per_second": {name: round(rate, 1) for name, rate in rates.items()},
        "mean_logit_difference": {name: float(f"{d:.2e}") for name, d in differences.items()},
    }
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
