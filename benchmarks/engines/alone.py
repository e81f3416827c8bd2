"""SpanQA's model beside OpenVINO and ONNX Runtime, without a service: same weights, same windows.

`make bench-engines` installs them. All run in one process with the allocator settings of the
embedded Triton, in turns; the table has medians. Ours gets batches, the others windows one by one
on each core, without padding, and, with `--padded`, batches padded to their longest.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from benchmarks.common.models import bert_large, embedded
from benchmarks.common.report import write_result
from benchmarks.common.workload import make_parser, positive_count
from benchmarks.engines.batches import Inputs, Runner
from benchmarks.engines.packages import HOW_TO_INSTALL, installed
from benchmarks.engines.packed import Packed
from benchmarks.engines.questions import Asked, accuracy, ask, difference
from benchmarks.engines.runners import OpenVino, make_runner
from benchmarks.engines.turns import in_turns, make_row, table
from benchmarks.engines.variants import VARIANTS, usual
from spanqa_model.export import Target, export
from spanqa_server.triton.embedded.command import triton_environment

SHAPES = {"embedded": embedded, "bert-large": bert_large}
PADDED_BATCH = 8
# Read when a process starts: they have to be there before Python is.
EARLY = ("MALLOC_", "OMP_", "ONEDNN_", "LRU_")


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    if not installed():
        sys.exit(HOW_TO_INSTALL)
    as_in_the_embedded_triton("benchmarks.engines.alone")
    progress = Console(stderr=True)
    with prepared(arguments) as (runners, asked), Progress(console=progress) as bar:
        windows = asked.inputs[: arguments.windows]
        task = bar.add_task("measuring", total=len(runners) * (arguments.rounds + 1))
        taken = in_turns(runners, windows, arguments.rounds, lambda: bar.advance(task))
        everything = asked.inputs if arguments.accuracy else windows
        reference, rows = None, []
        for name in bar.track(runners, description="comparing logits"):
            logits = runners[name].logits(everything)
            reference = reference or logits
            scores = accuracy(asked, logits) if arguments.accuracy else None
            rows.append(make_row(name, taken, windows, difference(logits, reference), scores))
        streams = {name: one.streams for name, one in runners.items() if isinstance(one, OpenVino)}
    title = (
        f"{arguments.shape}, model alone: {len(windows)} windows, {arguments.rounds} rounds; "
        f"accuracy on {arguments.accuracy} questions"
    )
    Console(width=160).print(table(title, rows))
    if arguments.json:
        figures = {"tokens": sum(len(window.ids) for window in windows), "streams": streams}
        rows_written = [asdict(row) for row in rows]
        write_result(arguments.json, arguments, **figures, rows=rows_written)


def as_in_the_embedded_triton(program: str) -> None:
    """Start a module again, with the allocator and threads that the server gives its Triton."""
    wanted = triton_environment(Path(sys.executable), threads=0)
    early = {name: value for name, value in wanted.items() if name.startswith(EARLY)}
    if any(os.environ.get(name) != value for name, value in early.items()):
        command = [sys.executable, "-m", program, *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | early)


@contextmanager
def prepared(arguments: argparse.Namespace) -> Iterator[tuple[dict[str, Runner], Asked]]:
    """Every contender, loaded, ours first; and the questions."""
    from benchmarks.engines.graphs import write_graphs

    with tempfile.TemporaryDirectory(prefix="spanqa-engines-") as name:
        directory = Path(name)
        source = SHAPES[arguments.shape](directory / "checkpoint")
        runners: dict[str, Runner] = {}
        for dtype in arguments.dtypes:
            target = Target(dtype=dtype, device="cpu", attention="windowed")
            version = export(source, directory / dtype, target, version=1).directory
            runners[f"SpanQA, {dtype}"] = Packed(version, arguments.batch)
        for version in arguments.version:
            runners[f"SpanQA, {version}"] = Packed(version.resolve(), arguments.batch)
        find = partial(ask, arguments.data, directory / "checkpoint")
        calibration: list[Inputs] = find(arguments.calibration, others=True).inputs
        chosen = {one: VARIANTS[one] for one in arguments.engines}
        write_graphs(
            *(directory / "checkpoint", directory, chosen.values(), calibration),
            padded=arguments.padded,
        )
        for one, variant in chosen.items():
            runners[one] = make_runner(variant, directory)
            if arguments.padded:
                runners[f"{one}, padded"] = make_runner(variant, directory, PADDED_BATCH)
        yield runners, find(max(arguments.accuracy, arguments.windows))


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("--shape", choices=tuple(SHAPES), default="embedded")
    add("--dtypes", nargs="*", default=["float32", "bfloat16"], help="ours, exported as these")
    add("--version", type=Path, action="append", default=[], help="a version directory of ours")
    add("--engines", nargs="*", choices=tuple(VARIANTS), default=usual(), metavar="NAME")
    add("--padded", action="store_true", help=f"also in padded batches of {PADDED_BATCH}")
    add("--windows", type=positive_count, default=96, help="in a turn")
    add("--batch", type=positive_count, default=16, help="windows that ours gets at a time")
    add("--rounds", type=positive_count, default=7)
    add("--accuracy", type=int, default=500, help="questions for EM and F1; 0: only differences")
    add("--calibration", type=positive_count, default=128, help="windows for OpenVINO's int8")
    add("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    if not arguments.dtypes and not arguments.version:
        parser.error("name one of ours: --dtypes or --version")
    return arguments


if __name__ == "__main__":
    main()
