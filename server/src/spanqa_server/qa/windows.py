"""Cutting a tokenized context into overlapping windows, packed end to end.

A window is [CLS] question [SEP] piece [SEP]. The windows equal, token for token, what a
Hugging Face fast tokenizer gives with truncation="only_second" and
return_overflowing_tokens: the first piece starts at 0, neighbours share `doc_stride`
context tokens, and the last piece ends with the context and may be shorter.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SPECIAL_TOKENS = 3


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Which context tokens each window holds: [starts[w], ends[w]), int64 [W] each."""

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)


@dataclass(frozen=True, slots=True)
class PackedWindows:
    """Windows as the model takes them (T: tokens of all windows, W: windows).

    `input_ids` int32 [T]; `token_type_ids` int32 [T], 0 up to the first [SEP], then 1;
    `window_lengths` int32 [W], summing to T.
    """

    input_ids: npt.NDArray[np.int32]
    token_type_ids: npt.NDArray[np.int32]
    window_lengths: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TensorLimits:
    """What a model can be given: ids below `vocabulary`, windows of at most `positions` tokens."""

    vocabulary: int
    positions: int

    def defect(self, packed: PackedWindows) -> str:
        """What is wrong with windows that would fail every request of their batch, or nothing."""
        ids, types, lengths = packed.input_ids, packed.token_type_ids, packed.window_lengths
        if len(types) != len(ids):
            return f"token_type_ids has {len(types)} entries, input_ids {len(ids)}"
        if not len(lengths) or lengths.min() < 1:
            return "window_lengths must hold at least one window, and none may be empty"
        if (total := int(lengths.sum(dtype=np.int64))) != len(ids):
            return f"window_lengths sum to {total}, input_ids has {len(ids)} entries"
        if (longest := int(lengths.max())) > self.positions:
            return f"a window has {longest} tokens, the model takes {self.positions}"
        if ids.min() < 0 or ids.max() >= self.vocabulary:
            return f"input_ids must be 0 to {self.vocabulary - 1}"
        if types.min() < 0 or types.max() > 1:
            return "token_type_ids must be 0 or 1"
        return ""


def window_starts(context_tokens: int, room: int, doc_stride: int) -> range:
    """Where in a context its windows begin, each with `room` context tokens.

    Requires 0 ≤ doc_stride < room; `doc_stride` is the overlap, not the step. The length of the
    range, the number of windows, costs nothing to know.
    """
    return range(0, max(context_tokens - doc_stride, 1), room - doc_stride)


def count_windows(
    text_tokens: list[int], room: int, doc_stride: int, question_tokens: int
) -> tuple[int, int]:
    """How many windows texts are cut into, and how many tokens these have together."""
    texts = [tokens for tokens in text_tokens if tokens]
    windows = sum(len(window_starts(tokens, room, doc_stride)) for tokens in texts)
    shared = doc_stride * (windows - len(texts))
    return windows, sum(texts) + shared + windows * (question_tokens + SPECIAL_TOKENS)


def plan_windows(context_tokens: int, room: int, doc_stride: int) -> WindowPlan:
    """Divide a context among windows."""
    places = window_starts(context_tokens, room, doc_stride)
    starts = np.arange(places.start, places.stop, places.step, dtype=np.int64)
    return WindowPlan(starts, np.minimum(starts + room, context_tokens))


def pack_windows(
    question_ids: npt.NDArray[np.int32],
    context_ids: npt.NDArray[np.int32],
    plan: WindowPlan,
    *,
    cls_id: int,
    sep_id: int,
) -> PackedWindows:
    """Lay the plan's windows end to end."""
    head = len(question_ids) + 2
    lengths = (plan.ends - plan.starts + (head + 1)).astype(np.int32)
    total = int(lengths.sum())
    input_ids, token_type_ids = np.empty(total, np.int32), np.ones(total, np.int32)
    begin = 0
    for start, end in zip(plan.starts.tolist(), plan.ends.tolist(), strict=True):
        context, last = begin + head, begin + head + end - start
        input_ids[begin] = cls_id
        input_ids[begin + 1 : context - 1] = question_ids
        input_ids[context - 1] = input_ids[last] = sep_id
        input_ids[context:last] = context_ids[start:end]
        token_type_ids[begin:context] = 0
        begin = last + 1
    return PackedWindows(input_ids, token_type_ids, lengths)


def repeat_window(ids: Sequence[int], question_part: int, times: int) -> PackedWindows:
    """One window, of which so many tokens are the question's part, as often as asked for."""
    types = [int(place >= question_part) for place in range(len(ids))]
    return PackedWindows(
        np.tile(np.array(ids, dtype=np.int32), times),
        np.tile(np.array(types, dtype=np.int32), times),
        np.full(times, len(ids), dtype=np.int32),
    )


def split_windows(packed: PackedWindows, max_tokens: int) -> Iterator[PackedWindows]:
    """Yield the windows in runs of at most `max_tokens` tokens (a window is never cut)."""
    lengths = packed.window_lengths.tolist()
    first = begin = tokens = 0
    for index, length in enumerate(lengths):
        if tokens and tokens + length > max_tokens:
            yield _slice(packed, begin, begin + tokens, first, index)
            first, begin, tokens = index, begin + tokens, 0
        tokens += length
    yield _slice(packed, begin, begin + tokens, first, len(lengths))


def _slice(packed: PackedWindows, begin: int, end: int, first: int, last: int) -> PackedWindows:
    return PackedWindows(
        packed.input_ids[begin:end],
        packed.token_type_ids[begin:end],
        packed.window_lengths[first:last],
    )
