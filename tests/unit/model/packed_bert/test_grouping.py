"""Which windows are padded together."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanqa_model.packed_bert.grouping import (
    GROUP_COST,
    GroupedPlanner,
    edges_on,
    length_edges,
    merge,
)
from spanqa_model.packed_bert.plan import Plan
from unit.model.tiny import random_windows

LONGEST = 512
batches = st.lists(st.integers(1, LONGEST), min_size=1, max_size=40).flatmap(
    lambda lengths: st.integers(1, 30).map(lambda times: lengths * times)
)
CPU = torch.device("cpu")


def plan_of(lengths: list[int], group_cost: int = GROUP_COST) -> Plan:
    planner = GroupedPlanner(256, 2, LONGEST, group_cost)
    ids, types, windows = random_windows(lengths)
    plan: Plan = planner(ids, types, windows.long(), torch.float32)
    return plan


@given(st.integers(1, 5000))
def test_edges_are_the_same_on_the_host_and_on_the_device(positions: int) -> None:
    edges = length_edges(positions)
    assert edges_on(CPU, edges).tolist() == edges
    assert edges == sorted(set(edges))
    assert all(edge % 8 == 0 for edge in edges)
    assert positions <= edges[-1] < positions + 8
    assert length_edges(512) == [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]


@pytest.mark.parametrize("group_cost", [0, GROUP_COST, 1 << 62])
@settings(deadline=None, max_examples=40)
@given(lengths=batches)
@example(lengths=[512])
@example(lengths=[33] * 100)
def test_each_window_is_in_one_group_that_is_long_enough_and_comes_back_in_order(
    group_cost: int, lengths: list[int]
) -> None:
    plan = plan_of(lengths, group_cost)
    found = []
    for group in plan.groups:
        length = group.mask.size(3)
        assert length % 8 == 0
        rows = group.places.view(-1, length)
        for places, mask in zip(rows, group.mask.flatten(1), strict=True):
            real = mask == 0
            found.append(tuple(places[real].tolist()))
            assert (mask[~real] == -torch.inf).all()
            assert (places[~real] == places[real][-1]).all()
    assert sorted(found) == [
        tuple(window.tolist()) for window in torch.arange(sum(lengths)).split(lengths)
    ]
    rows = torch.cat([group.places for group in plan.groups])
    assert torch.equal(rows.index_select(0, plan.back), torch.arange(sum(lengths)))
    masks = torch.cat([group.mask.flatten() for group in plan.groups])
    assert (masks.index_select(0, plan.back) == 0).all(), "a token comes back from the padding"


def grouped(lengths: list[int], group_cost: int) -> list[tuple[int, int]]:
    """Windows and length of each group."""
    edges = length_edges(LONGEST)
    counts = [sum(n <= edge for n in lengths) for edge in edges]
    merged = merge(counts, edges, group_cost)
    ends = [0, *(end for end, _ in merged)]
    return [(end - begin, length) for begin, (end, length) in zip(ends, merged, strict=False)]


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ([20, 30, 510], [(3, 512)]),  # 2 · (512² - 32²) is less than a million
        ([20] * 4 + [510], [(4, 24), (1, 512)]),
        ([40] * 275 + [510], [(275, 48), (1, 512)]),
        ([10] * 1000 + [40] * 1000, [(1000, 16), (1000, 48)]),
        ([150] * 8 + [250] * 8, [(16, 256)]),
        ([200], [(1, 256)]),
    ],
)
def test_groups_of_some_batches(lengths: list[int], groups: list[tuple[int, int]]) -> None:
    assert grouped(lengths, GROUP_COST) == groups
    plan = plan_of(lengths)
    assert [(one.mask.size(0), one.mask.size(3)) for one in plan.groups] == groups
