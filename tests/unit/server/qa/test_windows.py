"""Windows against their definition; tests/parity compares them with transformers."""

from collections.abc import Iterable
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanqa_server.qa.windows import (
    SPECIAL_TOKENS,
    PackedWindows,
    TensorLimits,
    pack_windows,
    plan_windows,
    repeat_window,
    split_windows,
    window_starts,
)
from unit.server.reference import cut_windows

CLS, SEP = 101, 102


@st.composite
def cuts(draw: st.DrawFn, most: int = 400) -> tuple[int, int, int]:
    """Context tokens, room and stride, with every overlap from none to all but one token."""
    tokens = draw(st.integers(1, most))
    room = draw(st.integers(1, most))
    return tokens, room, draw(st.integers(0, room - 1))


def join(lists: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def pack(question: list[int], context: list[int], room: int, doc_stride: int) -> PackedWindows:
    return pack_windows(
        np.array(question, dtype=np.int32),
        np.array(context, dtype=np.int32),
        plan_windows(len(context), room, doc_stride),
        cls_id=CLS,
        sep_id=SEP,
    )


@given(cuts())
@settings(deadline=None, max_examples=300)
def test_plan_covers_every_token_and_shares_the_stride(cut: tuple[int, int, int]) -> None:
    tokens, room, doc_stride = cut
    plan = plan_windows(tokens, room, doc_stride)
    covered = [list(range(s, e)) for s, e in zip(plan.starts, plan.ends, strict=True)]
    assert sorted({token for window in covered for token in window}) == list(range(tokens))
    assert all(1 <= len(window) <= room for window in covered)
    assert all(len(window) == room for window in covered[:-1])
    for left, right in pairwise(covered):
        assert len(set(left) & set(right)) == doc_stride
    assert plan.ends[-1] == tokens
    assert len(plan) == len(window_starts(tokens, room, doc_stride))
    assert covered == cut_windows(range(tokens), room, doc_stride)


@given(st.lists(st.integers(200, 300), max_size=6), cuts(most=60))
@settings(deadline=None)
def test_packed_layout(question: list[int], cut: tuple[int, int, int]) -> None:
    tokens, room, doc_stride = cut
    context = list(range(1000, 1000 + tokens))
    packed = pack(question, context, room, doc_stride)
    pieces = cut_windows(context, room, doc_stride)
    whole = [[CLS, *question, SEP, *piece, SEP] for piece in pieces]
    head = len(question) + 2
    types = [[0] * head + [1] * (len(piece) + 1) for piece in pieces]
    assert packed.input_ids.tolist() == join(whole)
    assert packed.token_type_ids.tolist() == join(types)
    assert packed.window_lengths.tolist() == [len(window) for window in whole]
    assert packed.window_lengths.max() <= room + len(question) + SPECIAL_TOKENS
    for array in (packed.input_ids, packed.token_type_ids, packed.window_lengths):
        assert array.dtype == np.int32
    assert not TensorLimits(vocabulary=2000, positions=80).defect(packed)


@given(cuts(most=60), st.integers(1, 5), st.integers(1, 200))
@settings(deadline=None, max_examples=200)
def test_split_windows(cut: tuple[int, int, int], question: int, most: int) -> None:
    tokens, room, doc_stride = cut
    packed = pack(list(range(question)), list(range(tokens)), room, doc_stride)
    parts = list(split_windows(packed, most))
    for name in ("input_ids", "token_type_ids", "window_lengths"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert joined.tolist() == getattr(packed, name).tolist()
    for part in parts:
        windows = len(part.window_lengths)
        assert windows >= 1
        assert len(part.input_ids) == len(part.token_type_ids) == part.window_lengths.sum()
        assert len(part.input_ids) <= most or windows == 1
    for part, following in pairwise(parts):
        assert len(part.input_ids) + following.window_lengths[0] > most, "fewer would do"


LIMITS = TensorLimits(vocabulary=200, positions=64)


@pytest.mark.parametrize(
    ("ids", "types", "lengths", "told"),
    [
        ([199] * 64 + [0], [0, 1] * 32 + [1], [64, 1], ""),
        ([1, 2], [0], [2], "token_type_ids has 1 entries, input_ids 2"),
        ([], [], [], "at least one window"),
        ([1], [0], [1, 0], "none may be empty"),
        ([1, 2], [0, 0], [1], "sum to 1, input_ids has 2"),
        ([1] * 65, [0] * 65, [65], "65 tokens, the model takes 64"),
        ([200], [0], [1], "input_ids must be 0 to 199"),
        ([-1], [0], [1], "input_ids must be 0 to 199"),
        ([1], [2], [1], "token_type_ids must be 0 or 1"),
        ([1], [-1], [1], "token_type_ids must be 0 or 1"),
    ],
)
def test_every_defect_is_found(
    ids: list[int], types: list[int], lengths: list[int], told: str
) -> None:
    packed = PackedWindows(*(np.array(one, np.int32) for one in (ids, types, lengths)))
    defect = LIMITS.defect(packed)
    assert told in defect
    assert bool(defect) is bool(told)


def test_a_window_is_repeated() -> None:
    packed = repeat_window([101, 5, 102, 6, 102], 3, 2)
    assert packed.input_ids.tolist() == [101, 5, 102, 6, 102] * 2
    assert packed.token_type_ids.tolist() == [0, 0, 0, 1, 1] * 2
    assert packed.window_lengths.tolist() == [5, 5]
