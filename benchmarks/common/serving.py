"""What the measurements under load share: their options, and the server."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import REPOSITORY
from benchmarks.common.workload import make_parser
from support.processes import RunningServer, running_server


def load_parser(
    documentation: str | None, *, rate: float | None = None, timeout: float = 10.0
) -> argparse.ArgumentParser:
    """A parser with what every script takes; with `--rate` only if there is a default."""
    parser = make_parser(documentation)
    add = parser.add_argument
    if rate is not None:
        add("--rate", type=float, default=rate, help=f"calls a second (default: {rate:g})")
    add("--timeout", type=float, default=timeout, help="deadline of each call, s")
    add("--repository", type=Path, default=REPOSITORY)
    add("--json", type=Path, help="write the figures there")
    return parser


@contextmanager
def served(repository: Path, *flags: str) -> Iterator[RunningServer]:
    """A server of this repository, with its log in a temporary directory."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server(repository, Path(directory) / "log", *flags) as server,
    ):
        yield server
