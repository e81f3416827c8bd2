"""Runners in turns, and what is said of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from benchmarks.engines.batches import Inputs, Logits
from benchmarks.engines.turns import in_turns, make_row, table

WINDOWS = [Inputs(np.ones(n, np.int32), np.ones(n, np.int32)) for n in (3, 5)]


def test_each_has_its_turn_and_the_first_is_not_counted() -> None:
    turns: list[str] = []

    def runner(name: str) -> SimpleNamespace:
        def logits(windows: Sequence[Inputs]) -> list[Logits]:
            assert windows is WINDOWS
            turns.append(name)
            return []

        return SimpleNamespace(logits=logits)

    taken = in_turns({"a": runner("a"), "b": runner("b")}, WINDOWS, rounds=2)
    assert turns == ["a", "b"] * 3
    assert {name: len(one) for name, one in taken.items()} == {"a": 2, "b": 2}


def test_a_row_has_medians_of_real_tokens_and_the_ratio_to_the_first() -> None:
    taken = {"a": [(2.0, 3.0), (4.0, 7.0), (4.0, 6.0)], "b": [(1.0, 2.0), (1.0, 2.0), (9.0, 2.0)]}
    row = make_row("b", taken, WINDOWS, (0.1, 0.5), (80.0, 90.0))
    assert (row.windows_per_second, row.tokens_per_second) == (2.0, 8.0)
    assert (row.cpu_seconds_per_window, row.over_first, row.slowest_over_fastest) == (1.0, 4.0, 9.0)
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(table("title", [row, make_row("a", taken, WINDOWS, (0.0, 0.0), None)]))
    text = console.export_text()
    (line,) = (line for line in text.splitlines() if " b " in line)
    assert [cell.strip() for cell in line.split("│")[2:-1]] == (
        ["2.00", "8", "1000.0", "4.00", "9.00", "1.0e-01", "5.0e-01", "80.00", "90.00"]
    )
    assert make_row("a", taken, WINDOWS, (0.0, 0.0), None).over_first == pytest.approx(1.0)
