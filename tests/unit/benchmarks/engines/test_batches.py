"""Windows as engines take them."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.engines.batches import Inputs, Logits, cut, feed, unpadded, windows_of
from benchmarks.engines.runners import in_order

lengths_of_windows = st.lists(st.integers(1, 384), max_size=40)


def window(*ids: int) -> Inputs:
    return Inputs(np.array(ids, np.int32), np.ones(len(ids), np.int32))


@given(lengths=lengths_of_windows, size=st.integers(1, 9))
def test_each_window_is_in_one_batch_and_the_longest_come_first(
    lengths: list[int], size: int
) -> None:
    batches = cut(lengths, size)
    assert sorted(itertools.chain(*batches)) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)
    longest = [max(lengths[at] for at in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_a_batch_is_padded_to_its_longest_and_masked() -> None:
    given = feed([window(7, 8, 9), window(5)])
    assert given["input_ids"].tolist() == [[7, 8, 9], [5, 0, 0]]
    assert given["token_type_ids"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert given["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_padding_is_cut_off_and_the_engine_may_use_its_memory_again() -> None:
    starts = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    first, second = unpadded([window(7, 8, 9), window(5)], starts, -starts)
    starts[:] = 0
    assert (first.starts.tolist(), first.ends.tolist()) == ([1, 2, 3], [-1, -2, -3])
    assert (second.starts.tolist(), second.ends.tolist()) == ([4], [-4])


def test_windows_that_come_end_to_end_are_parted() -> None:
    parted = windows_of(*(np.array(one, np.int32) for one in ([7, 8, 9], [0, 1, 0], [2, 1])))
    assert [(one.ids.tolist(), one.types.tolist()) for one in parted] == [
        ([7, 8], [0, 1]),
        ([9], [0]),
    ]


def test_results_of_batches_come_in_the_order_of_the_windows() -> None:
    marks = [Logits(np.array([at], np.float32), np.zeros(1, np.float32)) for at in range(3)]
    assert in_order([[2], [0, 1]], [[marks[2]], [marks[0], marks[1]]]) == marks
