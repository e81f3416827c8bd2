"""The decoder's best spans on 10,000 random windows of up to 384 tokens, against L × L."""

from typing import Any

import numpy as np
import pytest

from spanqa_server.qa.decoder import decode
from spanqa_server.qa.windows import WindowPlan, plan_windows
from unit.server.qa.problems import integers

WINDOWS = 10_000
TOP_K = 5
LONGEST = 384
ANSWER_LENGTHS = (1, 2, 7, 30, 100, LONGEST)
HEAD = 3
DISTANCE = np.arange(LONGEST) - np.arange(LONGEST)[:, None]
PENALTIES = {
    longest: np.where(np.isin(DISTANCE, range(longest)), 0.0, -np.inf) for longest in ANSWER_LENGTHS
}

Floats = np.ndarray[Any, np.dtype[np.float32]]


def test_best_spans_without_overlap_on_10_000_random_windows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rng = np.random.default_rng(20_240_607)
    windows = requests = best_right = all_right = 0
    while windows < WINDOWS:
        room = int(rng.integers(1, LONGEST + 1))
        most = room if rng.random() < 0.7 else 3 * room
        plan = plan_windows(int(rng.integers(1, most + 1)), room, int(rng.integers(0, room)) // 2)
        longest = int(rng.choice(ANSWER_LENGTHS))
        starts, ends = draw(rng, int((plan.ends - plan.starts + HEAD + 1).sum()))
        expected = brute_force(starts, ends, plan, longest)
        best_right += decode_best(starts, ends, plan, longest, 1) == expected[:1]
        all_right += decode_best(starts, ends, plan, longest, TOP_K) == expected
        windows += len(plan)
        requests += 1
    with capsys.disabled():
        print(
            f"\nbest span right in {best_right}, best {TOP_K} without overlap in {all_right} "
            f"of {requests} requests, {windows} windows"
        )
    assert best_right == all_right == requests


def draw(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """Logits like a model's; in a third of the cases coarse, so that spans tie."""
    starts, ends = (4 * rng.normal(size=(2, size))).astype(np.float32)
    return (np.rint(starts), np.rint(ends)) if rng.random() < 1 / 3 else (starts, ends)


def decode_best(
    starts: Floats, ends: Floats, plan: WindowPlan, longest: int, top_k: int
) -> list[tuple[float, int, int]]:
    tokens = list(range(int(plan.ends[-1])))
    places = integers(tokens), integers([token + 1 for token in tokens])
    decoded = decode(starts, ends, plan, HEAD, *places, top_k=top_k, max_answer_tokens=longest)
    return [(-span.score, span.start, span.end) for span in decoded.spans]


def brute_force(
    starts: Floats, ends: Floats, plan: WindowPlan, longest: int
) -> list[tuple[float, int, int]]:
    """The best of all spans, then the best that shares no token with it, and so on."""
    windows = []
    begin = HEAD
    for first, last in zip(plan.starts.tolist(), plan.ends.tolist(), strict=True):
        length = last - first
        piece = slice(begin, begin + length)
        scores = starts[piece].astype(np.float64)[:, None] + ends[piece].astype(np.float64)
        windows.append((first, scores + PENALTIES[longest][:length, :length]))
        begin += length + HEAD + 1
    chosen: list[tuple[float, int, int]] = []
    while len(chosen) < TOP_K:
        found = []
        for first, scores in windows:
            start, end = divmod(int(scores.argmax()), len(scores))
            found.append((-float(scores[start, end]), first + start, first + end + 1))
        score, start, end = min(found)
        if score == np.inf:
            break
        chosen.append((score, start, end))
        for first, scores in windows:  # whatever begins before its end, and ends in it or later
            scores[: max(end - first, 0), max(start - first, 0) :] = -np.inf
    return chosen
