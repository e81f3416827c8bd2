"""The plan of a forward pass: where the windows of its batch lie, computed once for all layers.

The planner also validates the batch. Everything that the host has to know about a batch comes from
the device in one read, because on CUDA each read waits until the device has finished its queue.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Group(NamedTuple):
    """n windows that are padded to one length L.

    `places` is int64 [n · L], the index of the token at each place of the padded rows. Places after
    the end of a window repeat its last token. `mask` is [n, 1, 1, L] in the dtype of the hidden
    states: 0 for tokens, -inf after the end of the window.
    """

    places: Tensor
    mask: Tensor


class Plan(NamedTuple):
    """Each form of attention fills and reads its own fields; the others are placeholders.

    `position_ids` is int64 [T], for all forms. Windowed, flash and efficient: `lengths` are the
    lengths of the windows, on the host, and `ends` is int32 [W + 1], 0 and the end of each window.
    Grouped: `groups` are padded rows, and `back` is int64 [T], the place of each token in the rows
    of all groups end to end.
    """

    position_ids: Tensor
    lengths: list[int]
    ends: Tensor
    groups: list[Group]
    back: Tensor


class Planner(nn.Module):
    """Reads a batch, and refuses one that the model cannot compute.

    On CUDA an index out of range fails more than its own call: the process can no longer use the
    device.
    """

    def __init__(self, vocab_size: int, type_vocab_size: int, max_position_embeddings: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.type_vocab_size = type_vocab_size
        self.max_position_embeddings = max_position_embeddings

    def read(
        self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor, asked: Tensor
    ) -> list[int]:
        """Validate the batch and copy `asked`, int64 [K], to the host, in one read of the device.

        Raises:
            ValueError: the model cannot compute the batch; the message names the tensor and why.
        """
        tokens, windows = input_ids.size(0), window_lengths.size(0)
        if tokens == 0 or windows == 0:
            raise ValueError("input_ids and window_lengths must hold at least one window")
        if token_type_ids.size(0) != tokens:
            raise ValueError(
                f"token_type_ids has {token_type_ids.size(0)} entries, input_ids {tokens}"
            )
        ids, types = torch.aminmax(input_ids), torch.aminmax(token_type_ids)
        lengths = torch.aminmax(window_lengths)
        facts = torch.stack(
            [window_lengths.sum(), lengths[0], lengths[1], ids[0], ids[1], types[0], types[1]]
        )
        values: list[int] = torch.cat([facts, asked]).tolist()
        self.check_lengths(tokens, values[0], values[1], values[2])
        self.check_ids("input_ids", values[3], values[4], self.vocab_size)
        self.check_ids("token_type_ids", values[5], values[6], self.type_vocab_size)
        return values[7:]

    def check_lengths(self, tokens: int, total: int, shortest: int, longest: int) -> None:
        if shortest < 1:
            raise ValueError(f"window_lengths holds {shortest}: a window has at least 1 token")
        if longest > self.max_position_embeddings:
            raise ValueError(
                f"window_lengths holds {longest}: a window has at most "
                f"{self.max_position_embeddings} tokens"
            )
        if total != tokens:
            raise ValueError(f"window_lengths sum to {total}, input_ids has {tokens} entries")

    def check_ids(self, name: str, least: int, most: int, limit: int) -> None:
        if least < 0 or most >= limit:
            wrong = least if least < 0 else most
            raise ValueError(f"{name} holds {wrong}: the model knows 0 to {limit - 1}")


class WindowedPlanner(Planner):
    """Plans attention that needs no padding: how long the windows are, and where they end."""

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        window_lengths: Tensor,
        dtype: torch.dtype,
    ) -> Plan:
        """The batch, integers [T], [T] and int64 [W], and the dtype of the hidden states."""
        lengths = self.read(input_ids, token_type_ids, window_lengths, window_lengths)
        positions = packed_position_ids(window_lengths, input_ids.size(0))
        ends = functional.pad(torch.cumsum(window_lengths, 0), [1, 0]).int()
        groups: list[Group] = []
        return Plan(positions, lengths, ends, groups, positions)


def packed_position_ids(window_lengths: Tensor, tokens: int) -> Tensor:
    """int64 lengths [W] with the sum `tokens` → int64 positions [T], from 0 in each window."""
    starts = torch.cumsum(window_lengths, 0) - window_lengths
    flat = torch.arange(tokens, device=window_lengths.device)
    # Without output_size this would wait for the sum.
    return flat - torch.repeat_interleave(starts, window_lengths, output_size=tokens)
