"""SQuAD questions for engines, and what logits are worth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.engines.batches import Logits
from benchmarks.engines.questions import Asked, accuracy, ask, difference
from support.squad import write_squad
from support.tiny import copy_tokenizer


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    copy_tokenizer(tmp_path)
    return ask(write_squad(tmp_path / "dev.json"), tmp_path, 3)


def pointing_at(asked: Asked, word: int) -> list[Logits]:
    """Logits for which a word of the context is the answer."""
    found = []
    for window in asked.windows:
        context = asked.questions[window.question].context
        begin = context.index(context.split()[word])
        end = begin + len(context.split()[word])
        starts, ends = np.zeros((2, len(window.ids)), np.float32)
        starts[window.head + window.starts.tolist().index(begin)] = 9
        ends[window.head + window.ends.tolist().index(end)] = 9
        found.append(Logits(starts, ends))
    return found


def test_types_are_those_of_the_service(asked: Asked) -> None:
    for inputs, window in zip(asked.inputs, asked.windows, strict=True):
        assert len(inputs.types) == len(inputs.ids)
        assert int((inputs.types == 0).sum()) == window.head


def test_others_are_asked_for_calibration(asked: Asked, tmp_path: Path) -> None:
    others = ask(tmp_path / "dev.json", tmp_path, 3, others=True)
    mine, theirs = ({one.context for one in each.questions} for each in (asked, others))
    assert len(mine) == len(theirs) == 3
    assert not mine & theirs


def test_right_and_wrong_answers_are_scored(asked: Asked) -> None:
    assert accuracy(asked, pointing_at(asked, -1)) == (100.0, 100.0)
    assert accuracy(asked, pointing_at(asked, 0)) == (0.0, 0.0)


def test_differences_are_over_starts_and_ends(asked: Asked) -> None:
    zeros = [Logits(np.zeros(2, np.float32), np.zeros(2, np.float32))]
    other = [Logits(np.array([0, 1], np.float32), np.array([0, -3], np.float32))]
    assert difference(other, zeros) == (1.0, 3.0)
