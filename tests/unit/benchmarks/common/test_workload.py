"""What the benchmarks ask."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.common.workload import (
    CHARACTERS_OF_A_WINDOW,
    LONG_TAIL,
    long_tail_mix,
    squad_in_order,
    squad_mix,
    tail_sizes,
)
from support.squad import write_squad


@pytest.fixture
def data(tmp_path: Path) -> Path:
    pairs = [(f"Which {number}?", f"Text {number}. " + "word " * 80) for number in range(40)]
    return write_squad(tmp_path / "squad.json", *pairs)


def test_the_squad_mix_is_spread_and_repeatable(data: Path) -> None:
    mix = squad_mix(data, 23)
    every_second = squad_in_order(data)[::2]
    assert {request.question for request in mix} == {one.question for one in every_second}
    assert mix == squad_mix(data, 23)


def test_missing_questions_are_named_with_the_remedy(tmp_path: Path) -> None:
    for mix in (squad_mix, long_tail_mix):
        with pytest.raises(SystemExit, match=r"make data.*--data"):
            mix(tmp_path / "none.json", 1)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SystemExit, match="is not JSON"):
        squad_mix(tmp_path / "broken.json", 1)


def test_sizes_have_the_shares_of_the_tail() -> None:
    assert Counter(tail_sizes(200, random.Random(0))) == {
        windows: 2 * share for windows, share in LONG_TAIL.items()
    }
    assert set(tail_sizes(25, random.Random(0))) == set(LONG_TAIL)


def test_documents_of_the_tail_hold_the_questions_context_and_are_as_long_as_wanted(
    data: Path,
) -> None:
    short, long = squad_mix(data, 25), long_tail_mix(data, 25)
    assert all(one.context in other.context for one, other in zip(short, long, strict=True))
    longest = max(len(request.context) for request in long)
    assert longest // CHARACTERS_OF_A_WINDOW == max(LONG_TAIL)
