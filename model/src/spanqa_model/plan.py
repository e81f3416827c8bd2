"""What the layers of one forward share about the windows of its batch, and the batch's guard.

Everything that the host has to know of a batch comes from the device in one read: on CUDA each
read waits until the device has caught up.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Group(NamedTuple):
    """Windows that are padded to one length L, n of them.

    `places` is int64 [n · L]: the token of each place of the padded rows; behind a window's end its
    last token again. `mask` is [n, 1, 1, L] in the dtype of the hidden states: 0 at tokens, -inf
    behind the window's end.
    """

    places: Tensor
    mask: Tensor


class Plan(NamedTuple):
    """Each form of attention reads its own fields; what the others hold means nothing.

    `position_ids` is int64 [T]. `lengths` are those of the windows, on the host (windowed).
    `groups` are padded rows, and `back` is int64 [T]: each token's place in the rows of all groups
    end to end (grouped). `ends` is int32 [W + 1], 0 and the end of each window, and `longest` the
    longest window's tokens (flash, efficient).
    """

    position_ids: Tensor
    lengths: list[int]
    groups: list[Group]
    back: Tensor
    ends: Tensor
    longest: int


class Planner(nn.Module):
    """Reads a batch and refuses what the model cannot compute.

    On CUDA an index out of range does not fail one call: it ends all computing in the process.
    """

    def __init__(self, vocab_size: int, type_vocab_size: int, max_position_embeddings: int) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.type_vocab_size = type_vocab_size
        self.max_position_embeddings = max_position_embeddings

    def read(
        self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor, asked: Tensor
    ) -> list[int]:
        """The one read of the device: brings `asked`, int64 [K], to the host.

        Raises:
            ValueError: the batch is not one that the model can compute; says which tensor, and why.
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
    """For attention window by window: the lengths, on the host."""

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        window_lengths: Tensor,
        dtype: torch.dtype,
    ) -> Plan:
        """Integers [T], [T] and int64 [W], and the dtype of the hidden states."""
        lengths = self.read(input_ids, token_type_ids, window_lengths, window_lengths)
        positions = packed_position_ids(window_lengths, input_ids.size(0))
        groups: list[Group] = []
        return Plan(positions, lengths, groups, positions, positions, 0)


def packed_position_ids(window_lengths: Tensor, tokens: int) -> Tensor:
    """[W] lengths, int64, that sum to `tokens` → [T] positions, each window counting from 0."""
    starts = torch.cumsum(window_lengths, 0) - window_lengths
    flat = torch.arange(tokens, device=window_lengths.device)
    # without output_size it would wait for the sum
    return flat - torch.repeat_interleave(starts, window_lengths, output_size=tokens)
