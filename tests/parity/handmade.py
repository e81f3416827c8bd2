"""Windows with logits made by hand, over a context of one-letter tokens."""

import numpy as np

from parity.recipe import Window

HEAD = 3  # [CLS], a question of one token, [SEP]
LOW = -50.0
CONTEXT = "abcdefghijklmnopqrstuvwxyz" * 4


def window(
    starts: dict[int, float], ends: dict[int, float], *, tokens: int = 40, first: int = 0
) -> Window:
    """A window over the characters of CONTEXT from `first`: logits by context token, else LOW.

    Negative keys count from the context's first token back: -1 is [SEP], -3 is [CLS].
    """
    offsets = [*[None] * HEAD, *((at, at + 1) for at in range(first, first + tokens)), None]
    logits = np.full((2, len(offsets)), LOW, dtype=np.float32)
    for row, given in zip(logits, (starts, ends), strict=True):
        for token, logit in given.items():
            row[HEAD + token] = logit
    return Window(logits[0], logits[1], offsets)
