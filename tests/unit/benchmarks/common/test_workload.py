"""What the benchmarks ask."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.common.workload import (
    CHARACTERS_OF_A_WINDOW,
    LONG_TAIL,
    long_tail_mix,
    squad_mix,
    tail_sizes,
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    paragraphs = [
        {
            "context": f"Text {number}. " + "word " * 80,
            "qas": [
                {
                    "id": str(number),
                    "question": f"Which {number}?",
                    "answers": [],
                    "is_impossible": True,
                }
            ],
        }
        for number in range(40)
    ]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": paragraphs}]}))
    return path


def test_the_squad_mix_is_spread_and_repeatable(data: Path) -> None:
    mix = squad_mix(data, 10)
    assert {request.question for request in mix} == {f"Which {at}?" for at in range(0, 40, 4)}
    assert mix == squad_mix(data, 10)


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
