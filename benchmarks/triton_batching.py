"""How Triton should form batches: queue delay, preferred sizes, instances, tokens in flight.

`.venv/bin/python benchmarks/triton_batching.py`. The embedded configuration as it is, and changed
in one thing each; all servers run, and take turns in each round. Writes
`benchmarks/results/triton-batching.json`, of which `benchmarks/plots.py` draws the curve.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from contenders import Service  # noqa: E402
from report import RESULTS, Measured, summary, write_result  # noqa: E402
from support.processes import RunningServer, running_server  # noqa: E402
from support.triton import address_of, batch_statistics  # noqa: E402
from workload import add_data_option, positive_count, squad_mix  # noqa: E402

DELAY = "max_queue_delay_microseconds: 0"
ONE_INSTANCE = "kind: KIND_CPU count: 1"
WARM_UP = 32


@dataclass(frozen=True, slots=True)
class Variant:
    """A line of the configuration and what stands there instead, and flags of the server."""

    line: str = ""
    instead: str = ""
    flags: tuple[str, ...] = ()

    def of(self, configuration: str) -> str:
        """The configuration with this change."""
        if self.line not in configuration:
            raise SystemExit(f"configs/embedded.pbtxt has no line {self.line!r} any more")
        return configuration.replace(self.line, self.instead) if self.line else configuration


def delay(microseconds: int, more: str = "") -> Variant:
    return Variant(DELAY, f"max_queue_delay_microseconds: {microseconds} {more}")


def tokens(most: int) -> Variant:
    return Variant(flags=("--max-tokens-in-flight", str(most)))


VARIANTS = {
    "as it is": Variant(),
    "delay 1 ms": delay(1_000),
    "delay 5 ms": delay(5_000),
    "delay 20 ms": delay(20_000),
    "preferred 8, delay 5 ms": delay(5_000, "preferred_batch_size: [ 8 ]"),
    "preferred 16, delay 20 ms": delay(20_000, "preferred_batch_size: [ 16 ]"),
    "batches of at most 8": Variant("max_batch_size: 32", "max_batch_size: 8"),
    "two instances of a thread": Variant(
        ONE_INSTANCE, "kind: KIND_CPU count: 2", ("--threads", "1")
    ),
    "2,048 tokens in flight": tokens(2_048),
    "4,096 tokens in flight": tokens(4_096),
    "65,536 tokens in flight": tokens(65_536),
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--questions", type=positive_count, default=64, help="in a round")
    parser.add_argument("--rounds", type=positive_count, default=3)
    parser.add_argument("--concurrency", type=positive_count, nargs="+", default=[1, 8, 32])
    parser.add_argument("--json", type=Path, default=RESULTS / "triton-batching.json")
    arguments = parser.parse_args()
    arguments.shape, arguments.dtype = "embedded", "as exported"
    requests = squad_mix(arguments.data, arguments.questions)
    measured: dict[tuple[str, int], list[Measured]] = {}
    batches: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(running_variant(variant))
            for name, variant in VARIANTS.items()
        }
        for server in servers.values():
            Service(server).answer(requests[:WARM_UP], 8)
        for _ in track(range(arguments.rounds), "rounds", console=Console(stderr=True)):
            for name, server in servers.items():
                for callers in arguments.concurrency:
                    before = batch_statistics(address_of(server))
                    answered = Service(server).answer(requests, callers)
                    after = batch_statistics(address_of(server))
                    size = (after[0] - before[0]) / (after[1] - before[1])
                    measured.setdefault((name, callers), []).append(answered)
                    batches.setdefault((name, callers), []).append(size)
    windows = measured["as it is", arguments.concurrency[0]][0].windows
    rows = [
        asdict(summary(*key, rounds, windows))
        | {"requests_per_batch": statistics.median(batches[key])}
        for key, rounds in measured.items()
    ]
    write_result(arguments.json, arguments, windows=windows, rows=rows)
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """Print a line for each variant and number of callers."""
    table = Table("", "callers", "questions/s", "p50, ms", "p99, ms", "requests a batch")
    for row in rows:
        table.add_row(
            row["contender"],
            str(row["concurrency"]),
            f"{row['questions_per_second']:.1f}",
            f"{row['p50_seconds'] * 1e3:.0f}",
            f"{row['p99_seconds'] * 1e3:.0f}",
            f"{row['requests_per_batch']:.1f}",
        )
    Console().print(table)


@contextmanager
def running_variant(variant: Variant) -> Iterator[RunningServer]:
    """A server whose repository has the changed configuration."""
    with tempfile.TemporaryDirectory() as directory:
        repository = Path(directory) / "repository"
        shutil.copytree(ROOT / "model_repository", repository)
        configuration = repository / "bert_qa" / "configs" / "embedded.pbtxt"
        configuration.write_text(variant.of(configuration.read_text()))
        with running_server(repository, Path(directory) / "log", *variant.flags) as server:
            yield server


if __name__ == "__main__":
    main()
