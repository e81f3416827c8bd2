"""Windows for an engine: each at its own length, or several padded to the longest of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Feed = dict[str, npt.NDArray[np.int64]]


class Inputs(NamedTuple):
    """Tokens of a window, and their types, int32 [n] each."""

    ids: Ints
    types: Ints


class Logits(NamedTuple):
    """Start and end logits of a window, float32 [n] each."""

    starts: Floats
    ends: Floats


class Runner(Protocol):
    """A model that is ready to compute."""

    def logits(self, windows: Sequence[Inputs]) -> list[Logits]:
        """Those of each window, in the order of `windows`, with all cores."""


def cut(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Batches of `size` windows as they come; the batch with the longest window first.

    A long one that starts last would keep one core busy while the others wait.
    """
    batches = [
        list(range(first, min(first + size, len(lengths))))
        for first in range(0, len(lengths), size)
    ]
    return sorted(batches, key=lambda batch: -max(lengths[at] for at in batch))


def feed(windows: Sequence[Inputs]) -> Feed:
    """The three inputs of BERT, int64 [B, L], padded to the longest."""
    longest = max(len(window.ids) for window in windows)
    ids, types, mask = np.zeros((3, len(windows), longest), dtype=np.int64)
    for row, window in enumerate(windows):
        length = len(window.ids)
        ids[row, :length], types[row, :length], mask[row, :length] = window.ids, window.types, 1
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}


def unpadded(windows: Sequence[Inputs], starts: Floats, ends: Floats) -> list[Logits]:
    """The rows of a batch, without their padding; copies, since engines reuse their memory."""
    return [
        Logits(starts[row, : len(window.ids)].copy(), ends[row, : len(window.ids)].copy())
        for row, window in enumerate(windows)
    ]


def windows_of(input_ids: Ints, token_type_ids: Ints, window_lengths: Ints) -> list[Inputs]:
    """Windows that come end to end."""
    ends = np.cumsum(window_lengths)[:-1]
    parts = zip(np.split(input_ids, ends), np.split(token_type_ids, ends), strict=True)
    return [Inputs(*part) for part in parts]
