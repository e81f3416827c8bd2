"""Runners measured in turns, and the table that comes of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

from rich.table import Table

from benchmarks.engines.batches import Inputs, Runner


@dataclass(frozen=True, slots=True)
class Row:
    """A contender's medians over the turns; accuracy where it was asked for."""

    contender: str
    windows_per_second: float
    tokens_per_second: float
    cpu_seconds_per_window: float
    over_first: float
    slowest_over_fastest: float
    mean_difference: float
    max_difference: float
    exact_match: float | None
    f1: float | None


def in_turns(
    runners: Mapping[str, Runner],
    windows: Sequence[Inputs],
    rounds: int,
    on_turn: Callable[[], None] = lambda: None,
) -> dict[str, list[tuple[float, float]]]:
    """Seconds by the clock and CPU seconds of each turn; the first of each is not counted."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    for _ in range(rounds + 1):
        for name, runner in runners.items():
            begin, begin_cpu = perf_counter(), process_time()
            runner.logits(windows)
            taken[name].append((perf_counter() - begin, process_time() - begin_cpu))
            on_turn()
    return {name: turns[1:] for name, turns in taken.items()}


def make_row(
    name: str,
    taken: Mapping[str, list[tuple[float, float]]],
    windows: Sequence[Inputs],
    difference: tuple[float, float],
    accuracy: tuple[float, float] | None,
) -> Row:
    """Rates are of real windows and real tokens: padding earns nothing."""
    walls = [wall for wall, _ in taken[name]]
    wall = statistics.median(walls)
    first = statistics.median(wall for wall, _ in next(iter(taken.values())))
    return Row(
        name,
        len(windows) / wall,
        sum(len(window.ids) for window in windows) / wall,
        statistics.median(cpu for _, cpu in taken[name]) / len(windows),
        first / wall,
        max(walls) / min(walls),
        *difference,
        *(accuracy or (None, None)),
    )


def table(title: str, rows: Sequence[Row]) -> Table:
    """The rows for people to read."""
    made = Table(title=title)
    made.add_column("contender")
    for column in (
        *("windows/s", "tokens/s", "CPU ms/window", "over the first", "slowest/fastest"),
        *("mean |Δ logit|", "max", "EM", "F1"),
    ):
        made.add_column(column, justify="right")
    for row in rows:
        made.add_row(
            row.contender,
            f"{row.windows_per_second:.2f}",
            f"{row.tokens_per_second:.0f}",
            f"{1e3 * row.cpu_seconds_per_window:.1f}",
            f"{row.over_first:.2f}",
            f"{row.slowest_over_fastest:.2f}",
            f"{row.mean_difference:.1e}",
            f"{row.max_difference:.1e}",
            *("" if score is None else f"{score:.2f}" for score in (row.exact_match, row.f1)),
        )
    return made
