"""What a few long windows cost a batch of short ones, in the form of attention for CUDA.

`.venv/bin/python -m benchmarks.model.grouping`. On this CPU, the embedded model's shape with random
weights: batches with long windows beside batches without, round after round, each of the two first
every other time. Ratios are of one round; the table has their median and extremes, and the same of
CPU time, which other processes disturb less. Then the most memory that one forward takes, each in a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from benchmarks.common.report import machine
from benchmarks.common.shapes import VOCABULARY
from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering
from spanqa_model.packed_bert.torchscript import load_torchscript, to_torchscript

EMBEDDED = {  # MiniLM-L6-H384
    "vocab_size": VOCABULARY,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
SHORT, LONG = (20, 40), 512
COLUMNS = ("batch", "seconds", "time a token", "of CPU", "extra MiB", "memory")
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two batches: window lengths with the long ones, and without."""

    name: str
    long: list[int]
    short: list[int]


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds of one forward, by the clock and on all cores."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Result:
    """The batch with long windows and the one without, round by round."""

    rounds: list[tuple[Turn, Turn]]
    tokens: tuple[int, int]
    extra_mib: tuple[float, float]

    def ratios(self, clock: str) -> list[float]:
        """Time a token with long windows over that without, of each round."""
        fewer = self.tokens[1] / self.tokens[0]
        return [getattr(a, clock) / getattr(b, clock) * fewer for a, b in self.rounds]

    @property
    def memory(self) -> float:
        return self.extra_mib[0] / self.extra_mib[1]


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    pairs = make_pairs()
    with tempfile.TemporaryDirectory(prefix="spanqa-bench-") as directory:
        file = Path(directory) / "model.pt"
        to_torchscript(make_module(), arguments.dtype).save(str(file))
        results = measure(file, pairs, arguments.rounds)
    show(arguments.dtype, results)
    if arguments.json:
        add_results(arguments, results)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    return parser.parse_args()


def make_pairs() -> list[Pair]:
    generator = torch.Generator().manual_seed(0)

    def short(count: int) -> list[int]:
        drawn = torch.randint(SHORT[0], SHORT[1] + 1, (count,), generator=generator)
        return [int(length) for length in drawn]

    raw, documents = short(275), short(1000)
    return [
        Pair("276 windows, one long / as many tokens", [*raw, LONG], [*raw, *[LONG // 16] * 16]),
        Pair("1,000 documents, three long / none", [*documents[3:], *[LONG] * 3], documents),
    ]


def make_module() -> PackedBertForQuestionAnswering:
    config = BertConfig(
        **EMBEDDED,
        max_position_embeddings=LONG,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        hidden_act="gelu",
    )
    torch.manual_seed(0)
    return PackedBertForQuestionAnswering(config, "grouped").requires_grad_(False).eval()


def measure(file: Path, pairs: Sequence[Pair], rounds: int) -> list[Result]:
    """Times in this process, then memory in fresh ones."""
    module = load_torchscript(file, CPU)
    console = Console(stderr=True)
    taken: list[list[tuple[Turn, Turn]]] = [[] for _ in pairs]
    for number in track(range(rounds + 1), "time", console=console):
        for pair, rows in zip(pairs, taken, strict=True):
            lengths = (pair.long, pair.short)
            turns = {which: turn(module, lengths[which]) for which in (0, 1)[:: (-1) ** number]}
            rows.append((turns[0], turns[1]))
    spawn = multiprocessing.get_context("spawn")
    batches = [lengths for pair in pairs for lengths in (pair.long, pair.short)]
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as pool:
        memory = [
            pool.submit(extra_mib, file, lengths).result()
            for lengths in track(batches, "memory", console=console)
        ]
    return [
        Result(rows[1:], (sum(pair.long), sum(pair.short)), (memory[2 * at], memory[2 * at + 1]))
        for at, (pair, rows) in enumerate(zip(pairs, taken, strict=True))
    ]


def turn(module: torch.jit.ScriptModule, lengths: list[int]) -> Turn:
    windows = random_windows(lengths)
    wall, cpu = perf_counter(), process_time()
    run(module, windows)
    return Turn(perf_counter() - wall, process_time() - cpu)


def random_windows(lengths: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens of windows in an order that mixes long and short: int32 [T], [T] and [W]."""
    generator = torch.Generator().manual_seed(len(lengths))
    order = torch.randperm(len(lengths), generator=generator)
    ids = torch.randint(1000, VOCABULARY, (sum(lengths),), generator=generator, dtype=torch.int32)
    return ids, torch.ones_like(ids), torch.tensor(lengths, dtype=torch.int32)[order]


def run(module: torch.jit.ScriptModule, windows: tuple[Tensor, Tensor, Tensor]) -> None:
    optimized = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
    with torch.inference_mode(), optimized:
        module(*windows)


def extra_mib(file: Path, lengths: list[int]) -> float:
    """The most memory that is resident in one forward, above what was before it."""
    module = load_torchscript(file, CPU)
    run(module, random_windows([SHORT[1]] * 8))
    windows = random_windows(lengths)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    before = status_kib("VmRSS")
    run(module, windows)
    return (status_kib("VmHWM") - before) / 1024


def status_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def show(dtype: str, results: list[Result]) -> None:
    table = Table(title=f"embedded shape, {dtype}: with long windows / without")
    for column in COLUMNS:
        table.add_column(column)
    for pair, result in zip(make_pairs(), results, strict=True):
        table.add_row(
            pair.name,
            " / ".join(f"{median(row[at].wall for row in result.rounds):.2f}" for at in (0, 1)),
            spread(result.ratios("wall")),
            spread(result.ratios("cpu")),
            "{:,.0f} / {:,.0f}".format(*result.extra_mib),
            f"{result.memory:.2f}",
        )
    Console(width=140).print(table)


def spread(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"


def add_results(arguments: argparse.Namespace, results: list[Result]) -> None:
    """Beside those of the other dtype that the file holds."""
    file: Path = arguments.json
    written = json.loads(file.read_text()) if file.exists() else {}
    written["machine"] = machine()
    written[arguments.dtype] = {
        pair.name: {
            "tokens": result.tokens,
            "time_per_token_ratio": round(median(result.ratios("wall")), 3),
            "cpu_per_token_ratio": round(median(result.ratios("cpu")), 3),
            "extra_mib": [round(one, 1) for one in result.extra_mib],
            "memory_ratio": round(result.memory, 3),
        }
        for pair, result in zip(make_pairs(), results, strict=True)
    }
    file.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
