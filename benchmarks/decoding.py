"""What decoding costs: milliseconds by the number of windows and of answers.

`.venv/bin/python benchmarks/decoding.py`. Normal logits, answers of at most 30 tokens, the median
of 30 rounds of 20 runs in CPU time.
"""

from __future__ import annotations

import statistics
from time import thread_time

import numpy as np

from spanqa_server.qa.decoder import decode
from spanqa_server.qa.windows import plan_windows

HEAD = 14  # [CLS], a question of 12 tokens, [SEP]
ROOM = 384 - HEAD - 1
STRIDE = 128
ROUNDS, REPEATS = 30, 20
SIZES = {"a window of 384 tokens": ROOM, "100 windows": ROOM + 99 * (ROOM - STRIDE)}


def main() -> None:
    """Measure and print."""
    for name, tokens in SIZES.items():
        for top_k in (1, 20):
            print(f"{name}, top {top_k}: {milliseconds(tokens, top_k):.3f} ms")


def milliseconds(tokens: int, top_k: int, rounds: int = ROUNDS, repeats: int = REPEATS) -> float:
    """The median time to decode a context of so many tokens."""
    plan = plan_windows(tokens, ROOM, STRIDE)
    total = int((plan.ends - plan.starts + HEAD + 1).sum())
    random = np.random.default_rng(0)
    starts, ends = (random.normal(0, 3, total).astype(np.float32) for _ in range(2))
    places = np.arange(tokens) * 5
    times = []
    for _ in range(rounds):
        begin = thread_time()
        for _ in range(repeats):
            decode(starts, ends, plan, HEAD, places, places + 4, top_k=top_k, max_answer_tokens=30)
        times.append((thread_time() - begin) / repeats)
    return statistics.median(times) * 1e3


if __name__ == "__main__":
    main()
