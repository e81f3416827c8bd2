"""Any number in model.json: the version serves only if it makes sense, and the server goes on."""

import asyncio
import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa_server.versions.repository import MAX_POSITIONS
from unit.server.version_files import MANIFEST, WRITTEN, write_version
from unit.server.versions.rollout_stage import Stage

INT32_MAX = 2**31 - 1


def whole(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def percent(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= 100)


# What each number may be while all others are as in MANIFEST, whose vocabulary has 33 word pieces.
GOOD: dict[str, Callable[[Any], bool]] = {
    "max_position_embeddings": whole(384, MAX_POSITIONS),
    "max_sequence_tokens": whole(132, 512),
    "doc_stride_tokens": whole(0, 380),
    "vocab_size": lambda value: value is None or whole(1, INT32_MAX)(value),
    "exact_match": percent,
    "f1": percent,
}
EDGES = [0, -1, 1, 7, 381, 511, 513, MAX_POSITIONS + 1, INT32_MAX, 2**31, 2**63, 2**64, 5 * 10**9]
VALUES = st.one_of(
    st.sampled_from([*EDGES, 10**400, math.nan, math.inf, -math.inf, 384.5, 384.0, 1e308, -0.5]),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
ODD = st.sampled_from(sorted(GOOD)).flatmap(
    lambda name: st.tuples(st.just(name), VALUES.filter(lambda value: not GOOD[name](value)))
)


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Stage, Callable[[dict[str, Any]], bool]]]:
    """Version 1 serves; a function has the server look at version 2 with changes in model.json."""
    stage = Stage(tmp_path_factory.mktemp("models"))
    directory = write_version(stage.repository, "2")
    with asyncio.Runner() as runner:
        stage.host.holds.update("12")

        def look(changes: dict[str, Any]) -> bool:
            (directory / "model.json").write_text(json.dumps(MANIFEST | changes))
            seconds = next(WRITTEN)
            os.utime(directory / "model.json", (seconds, seconds))
            return runner.run(stage.look())

        assert not look({"doc_stride_tokens": -1})
        stage.publish("1")
        yield stage, look


@settings(max_examples=1000, deadline=None)
@given(odd=ODD)
def test_an_odd_number_is_never_served_and_ends_nothing(
    scene: tuple[Stage, Callable[[dict[str, Any]], bool]], odd: tuple[str, Any]
) -> None:
    stage, look = scene
    assert look(dict([odd]))
    assert (stage.serving, stage.offered) == ("1", {"1"})
    assert stage.states() == {"1": "serving", "2": "unreadable"}


@pytest.mark.parametrize(
    "changes",
    [
        {"max_position_embeddings": MAX_POSITIONS},
        {"max_position_embeddings": 384},
        {"max_sequence_tokens": 512, "doc_stride_tokens": 508},
        {"doc_stride_tokens": 0},
        {"vocab_size": INT32_MAX},
        {"f1": 100, "exact_match": 0},
    ],
    ids=str,
)
async def test_what_is_at_the_limit_serves(tmp_path: Path, changes: dict[str, Any]) -> None:
    stage = Stage(tmp_path)
    stage.publish("1", **changes)
    assert await stage.look()
    assert stage.serving == "1"


def test_a_manifest_without_end_is_not_read_to_it(
    scene: tuple[Stage, Callable[[dict[str, Any]], bool]],
) -> None:
    stage, look = scene
    assert look({"source": "x" * (2 << 20)})
    assert stage.states()["2"] == "unreadable"
