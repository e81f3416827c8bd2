"""SpanQA beside what people would otherwise use: same weights, same questions, same two cores.

`make bench`. Every contender answers the same requests, in turns, several rounds; the table has
medians. What is measured is said by the columns: questions by the clock, and CPU seconds of all
processes of a contender a question, which say more on a machine that others use too.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402

from contenders import enter_all  # noqa: E402
from mlserver_contender import installed  # noqa: E402
from models import prepared_weights  # noqa: E402
from report import SPANQA, Measured, summary, table, write_rows  # noqa: E402
from workload import MIXES, add_data_option, positive_count  # noqa: E402


def main() -> None:
    """Measure, print, write JSON."""
    arguments = parse_arguments()
    requests = MIXES[arguments.mix](arguments.data, arguments.questions)
    progress = Console(stderr=True)
    if not installed():
        progress.print("without MLServer: `make bench-mlserver` installs it")
    rounds: dict[tuple[str, int], list[Measured]] = defaultdict(list)
    with (
        prepared_weights(arguments.shape, arguments.dtype) as weights,
        contextlib.ExitStack() as stack,
    ):
        services, libraries = enter_all(stack, weights, arguments.dtype, with_mlserver=installed())
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
        write_rows(arguments.json, arguments, windows, rows)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--shape", choices=("embedded", "bert-large"), default="embedded")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
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
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
