"""Groups windows of similar length, so that little of attention's work is spent on padding.

A window is padded to the next larger one of a few fixed lengths, two for each power of two. A group
of few windows joins the next longer group where the extra padding costs less than a group of its
own.
"""

import torch
from torch import Tensor

from spanqa_model.packed_bert.plan import Group, Plan, Planner, packed_position_ids

# The cost of one more group in each layer, as a number of entries of the padded score matrices.
# A group costs about 20 microseconds of kernel launches: 4e9 FLOPs at 200 TFLOPS. An entry costs
# 4 · hidden size FLOPs (two products of a multiplication and an addition each), 4 · 1,024 in
# BERT-large. The quotient is about a million.
GROUP_COST = 1_000_000


def length_edges(max_position_embeddings: int) -> list[int]:
    """16, 24, 32, 48, … and at last the longest window's length, rounded up to a multiple of 8.

    All are multiples of 8, because torch's memory-efficient kernel copies other masks in each call.
    """
    last = (max_position_embeddings + 7) // 8 * 8
    edges: list[int] = []
    while (edge := (16 + len(edges) % 2 * 8) << len(edges) // 2) < last:
        edges.append(edge)
    return [*edges, last]


def edges_on(device: torch.device, edges: list[int]) -> Tensor:
    """The same edges, int64, computed on the device: copying a list there would wait for it."""
    count = torch.arange(len(edges), device=device)
    series = torch.bitwise_left_shift(16 + count % 2 * 8, count // 2)
    return series.clamp(max=edges[-1])


def merge(counts: list[int], edges: list[int], group_cost: int) -> list[tuple[int, int]]:
    """Decide which windows are padded together, going from short to long.

    Args:
        counts: for each edge, how many windows are at most as long.
        edges: lengths in tokens, ascending.
        group_cost: see `GROUP_COST`.

    Returns:
        For each group, the number of windows in it and all shorter groups, and its length.
    """
    groups: list[tuple[int, int]] = []
    begin, end, length = 0, 0, 0
    for count, edge in zip(counts, edges):  # noqa: B905 - TorchScript knows no `strict`
        if count > end:
            if (end - begin) * (edge * edge - length * length) > group_cost:
                groups.append((end, length))
                begin = end
            end, length = count, edge
    groups.append((end, length))
    return groups


class GroupedPlanner(Planner):
    """Plans attention on padded rows: the groups, and the way back to the order of the tokens.

    Args:
        vocab_size, type_vocab_size, max_position_embeddings: the limits of a batch.
        group_cost: see `GROUP_COST`.
    """

    def __init__(
        self,
        vocab_size: int,
        type_vocab_size: int,
        max_position_embeddings: int,
        group_cost: int = GROUP_COST,
    ) -> None:
        super().__init__(vocab_size, type_vocab_size, max_position_embeddings)
        self.edges = length_edges(max_position_embeddings)
        self.group_cost = group_cost

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        window_lengths: Tensor,
        dtype: torch.dtype,
    ) -> Plan:
        """The batch, integers [T], [T] and int64 [W], and the dtype of the hidden states."""
        lengths, order = torch.sort(window_lengths, stable=True)
        edges = edges_on(window_lengths.device, self.edges)
        within = torch.searchsorted(lengths, edges, right=True)
        counts = self.read(input_ids, token_type_ids, window_lengths, within)

        starts = (torch.cumsum(window_lengths, 0) - window_lengths).index_select(0, order)
        groups: list[Group] = []
        first_rows: list[Tensor] = []
        begin, row = 0, 0
        for end, length in merge(counts, self.edges, self.group_cost):
            groups.append(pad_windows(starts[begin:end], lengths[begin:end], length, dtype))
            rows = (end - begin) * length
            first_rows.append(torch.arange(row, row + rows, length, device=order.device))
            begin, row = end, row + rows
        first_row = torch.empty_like(order).scatter_(0, order, torch.cat(first_rows))

        tokens = input_ids.size(0)
        positions = packed_position_ids(window_lengths, tokens)
        back = positions + torch.repeat_interleave(first_row, window_lengths, output_size=tokens)
        nothing: list[int] = []
        return Plan(positions, nothing, positions, groups, back)


def pad_windows(starts: Tensor, lengths: Tensor, length: int, dtype: torch.dtype) -> Group:
    """Pad n windows to `length`, given their first tokens and lengths, int64 [n]."""
    columns = torch.arange(length, device=starts.device)
    within = torch.minimum(columns, lengths.unsqueeze(1) - 1)
    places = (starts.unsqueeze(1) + within).flatten()
    mask = torch.zeros([starts.size(0), 1, 1, length], dtype=dtype, device=starts.device)
    mask.masked_fill_(columns >= lengths.view(-1, 1, 1, 1), -float("inf"))
    return Group(places, mask)
