"""Logits laid out so that each start sees the band of ends that it can go with."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spanqa_server.qa.windows import WindowPlan

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BandTable:
    """Logits of the context tokens, a row a window, -inf where a row has no token.

    `starts` [W, R] and `ends` [W, R + width - 1], so that the ends that a start in column
    c can go with are `ends[w, c : c + width]`.
    """

    plan: WindowPlan
    width: int
    starts: Floats
    ends: Floats


def band_table(
    start_logits: npt.NDArray[np.float32],
    end_logits: npt.NDArray[np.float32],
    plan: WindowPlan,
    begins: Integers,
    max_answer_tokens: int,
    unusable: npt.NDArray[np.bool_],
) -> BandTable:
    """Lay the packed logits [T] out as a table.

    `begins` int64 [W]: where in T each window's context tokens begin; `unusable` bool [n]:
    context tokens that may neither start nor end a span.
    """
    lengths = (plan.ends - plan.starts).tolist()
    longest = max(lengths)
    width = min(max_answer_tokens, longest)
    starts = np.full((len(lengths), longest), -np.inf)
    ends = np.full((len(lengths), longest + width - 1), -np.inf)
    rows = zip(begins.tolist(), lengths, plan.starts.tolist(), strict=True)
    any_unusable = bool(unusable.any())
    for row, (begin, length, first) in enumerate(rows):
        starts[row, :length] = start_logits[begin : begin + length]
        ends[row, :length] = end_logits[begin : begin + length]
        if any_unusable:
            hidden = unusable[first : first + length]
            starts[row, :length][hidden] = -np.inf
            ends[row, :length][hidden] = -np.inf
    return BandTable(plan, width, starts, ends)


def sliding_max(values: Floats, width: int) -> Floats:
    """[W, R + width - 1] → [W, R]: the largest of `width` neighbours, in log2(width) passes."""
    covered = 1
    while covered * 2 <= width:
        values = np.maximum(values[:, :-covered], values[:, covered:])
        covered *= 2
    if covered < width:
        rest = width - covered
        values = np.maximum(values[:, :-rest], values[:, rest:])
    return values


def sliding_sum(values: Floats, width: int) -> Floats:
    """[W, R + width - 1] → [W, R]: the sum of `width` neighbours, in 2 log2(width) passes.

    Only sums, never a difference of two: nothing cancels.
    """
    columns = values.shape[1] - width + 1
    total = np.zeros((len(values), columns))
    blocks, size, done = values, 1, 0
    while size <= width:
        if width & size:
            total += blocks[:, done : done + columns]
            done += size
        if 2 * size <= width:
            blocks = blocks[:, :-size] + blocks[:, size:]
        size *= 2
    return total


def band(values: Floats, length: int, width: int) -> Floats:
    """View contiguous [≥ length + width - 1] as [length, width]: row i is values[i : i + width]."""
    if len(values) < length + width - 1:
        raise ValueError(f"{len(values)} values, not {length} + {width} - 1")
    # Ten times as fast as numpy's as_strided.
    return np.ndarray((length, width), np.float64, values, strides=(8, 8))
