"""Which windows are padded together, and that their logits do not tell."""

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BertForQuestionAnswering

from spanqa_model.packed_bert.grouping import (
    GROUP_COST,
    GroupedPlanner,
    edges_on,
    length_edges,
    merge,
)
from spanqa_model.packed_bert.plan import Plan
from unit.model.tiny import POSITIONS, packed_model, random_windows

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


def windows_of(lengths: list[int]) -> list[tuple[int, ...]]:
    """Each window's tokens, as their places in the flat axis."""
    return [tuple(one.tolist()) for one in torch.arange(sum(lengths)).split(lengths)]


@given(st.integers(1, 5000))
def test_edges_are_the_same_on_the_host_and_on_the_device(positions: int) -> None:
    edges = length_edges(positions)
    assert edges_on(CPU, edges).tolist() == edges
    assert edges == sorted(set(edges))
    assert all(edge % 8 == 0 for edge in edges)
    assert positions <= edges[-1] < positions + 8


def test_there_are_about_two_edges_in_an_octave() -> None:
    assert length_edges(512) == [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]


@pytest.mark.parametrize("group_cost", [0, GROUP_COST, 1 << 62])
@settings(deadline=None, max_examples=40)
@given(lengths=batches)
@example(lengths=[512])
@example(lengths=[33] * 100)
def test_each_window_is_in_one_group_that_is_long_enough(
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
    assert sorted(found) == windows_of(lengths)


@pytest.mark.parametrize("group_cost", [0, GROUP_COST, 1 << 62])
@settings(deadline=None, max_examples=40)
@given(lengths=batches)
def test_padded_rows_come_back_in_the_order_of_the_tokens(
    group_cost: int, lengths: list[int]
) -> None:
    plan = plan_of(lengths, group_cost)
    rows = torch.cat([group.places for group in plan.groups])
    assert torch.equal(rows.index_select(0, plan.back), torch.arange(sum(lengths)))
    masks = torch.cat([group.mask.flatten() for group in plan.groups])
    assert (masks.index_select(0, plan.back) == 0).all(), "a token comes back from the padding"


@settings(deadline=None, max_examples=100)
@given(lengths=batches, group_cost=st.integers(0, 3 * GROUP_COST))
def test_padding_costs_at_most_a_groups_cost_at_each_edge(
    lengths: list[int], group_cost: int
) -> None:
    edges = length_edges(LONGEST)
    own = [next(edge for edge in edges if n <= edge) for n in lengths]
    groups = grouped(lengths, group_cost)
    padded = sum(windows * length**2 for windows, length in groups)
    assert padded <= sum(edge**2 for edge in own) + group_cost * (len(edges) - len(groups))
    assert len(groups) <= len(set(own))


@settings(deadline=None, max_examples=100)
@given(lengths=batches)
def test_two_groups_stand_apart_only_where_that_saves_more_than_a_group_costs(
    lengths: list[int],
) -> None:
    groups = grouped(lengths, GROUP_COST)
    shortest_above = [
        min(edge for edge in length_edges(LONGEST) if edge > length and any_at(lengths, edge))
        for _, length in groups[:-1]
    ]
    for (windows, length), above in zip(groups, shortest_above, strict=False):
        assert windows * (above**2 - length**2) > GROUP_COST


def any_at(lengths: list[int], edge: int) -> bool:
    edges = [0, *length_edges(LONGEST)]
    return any(edges[edges.index(edge) - 1] < n <= edge for n in lengths)


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


@pytest.mark.parametrize("group_cost", [0, 2000, GROUP_COST])
@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, POSITIONS), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
@example(lengths=[1], seed=0)
@example(lengths=[POSITIONS], seed=0)
@example(lengths=[17] * 9, seed=0)
@example(lengths=[2] * 11 + [POSITIONS], seed=0)
def test_grouped_logits_equal_windowed_ones(
    reference: BertForQuestionAnswering, group_cost: int, lengths: list[int], seed: int
) -> None:
    model: Any = packed_model(reference, attention="grouped")
    model.bert.planner.group_cost = group_cost
    windows = random_windows(lengths, seed=seed)
    expected = torch.stack(packed_model(reference)(*windows))
    difference = torch.stack(model(*windows)) - expected
    # float32 has 24 bits; the logits here are some ±5, those of a wide model as large
    assert difference.abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def test_gradients_go_through_the_groups(reference: BertForQuestionAnswering) -> None:
    models: Any = packed_model(reference, attention="grouped"), packed_model(reference)
    windows = random_windows([5, 30, 60, 5])
    gradients = []
    for model in models:
        model.requires_grad_(True)
        torch.stack(model(*windows)).sum().backward()
        gradients.append(model.bert.encoder.layer[0].attention.self.qkv.weight.grad)
    assert gradients[1].abs().max() > 1e-2
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-3)
