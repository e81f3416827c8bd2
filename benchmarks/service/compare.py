"""SpanQA beside what people would otherwise use: same weights, same questions, same two cores.

`make bench`. Every contender answers the same requests, in turns, several rounds; the table has
medians. What is measured is said by the columns: questions by the clock, and CPU seconds of all
processes of a contender a question, which say more on a machine that others use too.
"""

from __future__ import annotations

import argparse
import contextlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.common.models import PADDINGS, prepared_weights
from benchmarks.common.report import SPANQA, Measured, summary, table, write_result
from benchmarks.common.workload import MIXES, make_parser, positive_count
from benchmarks.engines import packages
from benchmarks.engines.variants import beside
from benchmarks.engines.versions import engine_repositories
from benchmarks.service.contenders import SERVICES, enter_all
from benchmarks.service.mlserver import installed

# For int8 by NNCF. BERT-large has random weights: only its speed counts.
CALIBRATION_WINDOWS = {"embedded": 128, "bert-large": 8}


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    requests = MIXES[arguments.mix](arguments.data, arguments.questions)
    progress = Console(stderr=True)
    if not installed():
        progress.print("without MLServer: `make bench-mlserver` installs it")
    if not packages.installed():
        progress.print(f"without other engines: {packages.HOW_TO_INSTALL}")
    rounds: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    wanted = choice(arguments.only)
    paddings = {padding: PADDINGS[padding] for name, padding in SERVICES.items() if wanted(name)}
    if arguments.dtype == "int8":  # the padded module has no such layers
        paddings = {padding: pad_to for padding, pad_to in paddings.items() if pad_to is None}
    with (
        prepared_weights(arguments.shape, arguments.dtype, paddings) as weights,
        contextlib.ExitStack() as stack,
    ):
        engines = {}
        if packages.installed():
            names = [name for name in beside(arguments.dtype) if wanted(name)]
            windows = CALIBRATION_WINDOWS[arguments.shape]
            engines = engine_repositories(weights, names, arguments.data, windows)
        services, libraries = enter_all(
            *(stack, weights, arguments.dtype, engines, wanted), with_mlserver=installed()
        )
        contenders = {**services, **libraries}
        each = [(name, callers) for name in services for callers in arguments.concurrency]
        each += [(name, 1) for name in libraries]
        most = max(arguments.concurrency)
        for name in track(contenders, "warming up", console=progress):
            contenders[name].answer(requests[:most], most)
        for name, callers in track(each * arguments.rounds, "measuring", console=progress):
            rounds[name, callers].append(contenders[name].answer(requests, callers))
    windows = rounds[SPANQA, most][0].windows
    rows = [summary(*key, measured, windows) for key, measured in rounds.items()]
    title = (
        f"{arguments.shape}, {arguments.dtype}, {arguments.mix}: {arguments.questions} "
        f"questions, {windows} windows, {arguments.rounds} rounds"
    )
    Console(width=140).print(table(title, rows))
    if arguments.json:
        write_result(arguments.json, arguments, windows=windows, rows=[asdict(row) for row in rows])


def choice(words: list[str]) -> Callable[[str], bool]:
    """Whether somebody takes part: SpanQA does, the others if one of the words is in a name."""
    return lambda name: not words or name == SPANQA or any(word in name for word in words)


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(__doc__)
    parser.add_argument("--shape", choices=("embedded", "bert-large"), default="embedded")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "int8"), default="float32")
    parser.add_argument("--mix", choices=tuple(MIXES), default="squad")
    parser.add_argument("--questions", type=positive_count, default=96, help="in a round")
    parser.add_argument("--rounds", type=positive_count, default=3)
    parser.add_argument(
        "--concurrency",
        type=positive_count,
        nargs="+",
        default=[32],
        help="callers of a service, one number or several",
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="contenders with it in their names"
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
