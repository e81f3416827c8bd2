"""The decoder's best span on 10,000 random windows of up to 384 tokens, against L × L."""

from typing import Any

import numpy as np
import pytest

from spanqa_server.qa.decoder import decode
from spanqa_server.qa.windows import WindowPlan, plan_windows
from unit.server.qa.problems import integers

WINDOWS = 10_000
LONGEST = 384
ANSWER_LENGTHS = (1, 2, 7, 30, 100, LONGEST)
HEAD = 3
DISTANCE = np.arange(LONGEST) - np.arange(LONGEST)[:, None]
PENALTIES = {
    longest: np.where(np.isin(DISTANCE, range(longest)), 0.0, -np.inf) for longest in ANSWER_LENGTHS
}

Floats = np.ndarray[Any, np.dtype[np.float32]]


def test_best_span_is_the_maximum_on_10_000_random_windows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(20_240_607)
    windows = requests = equal = 0
    while windows < WINDOWS:
        room = int(rng.integers(1, LONGEST + 1))
        most = room if rng.random() < 0.7 else 3 * room
        plan = plan_windows(int(rng.integers(1, most + 1)), room, int(rng.integers(0, room)) // 2)
        longest = int(rng.choice(ANSWER_LENGTHS))
        starts, ends = draw(rng, int((plan.ends - plan.starts + HEAD + 1).sum()))
        found = decode_best(starts, ends, plan, longest)
        equal += found == brute_force_best(starts, ends, plan, longest)
        windows += len(plan)
        requests += 1
    with capsys.disabled():
        print(f"\nbest span right in {equal} of {requests} requests, {windows} windows")
    assert equal == requests


def draw(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """Logits like a model's; in a third of the cases coarse, so that spans tie."""
    starts, ends = (4 * rng.normal(size=(2, size))).astype(np.float32)
    return (np.rint(starts), np.rint(ends)) if rng.random() < 1 / 3 else (starts, ends)


def decode_best(
    starts: Floats, ends: Floats, plan: WindowPlan, longest: int
) -> tuple[float, int, int]:
    tokens = list(range(int(plan.ends[-1])))
    places = integers(tokens), integers([token + 1 for token in tokens])
    [span] = decode(starts, ends, plan, HEAD, *places, top_k=1, max_answer_tokens=longest).spans
    return -span.score, span.start, span.end


def brute_force_best(
    starts: Floats, ends: Floats, plan: WindowPlan, longest: int
) -> tuple[float, int, int]:
    found = []
    begin = HEAD
    for first, last in zip(plan.starts.tolist(), plan.ends.tolist(), strict=True):
        length = last - first
        piece = slice(begin, begin + length)
        scores = starts[piece].astype(np.float64)[:, None] + ends[piece].astype(np.float64)
        scores += PENALTIES[longest][:length, :length]
        start, end = divmod(int(scores.argmax()), length)
        found.append((-float(scores[start, end]), first + start, first + end + 1))
        begin += length + HEAD + 1
    return min(found)
