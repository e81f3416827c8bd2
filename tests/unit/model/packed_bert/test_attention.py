"""Attention sees its own window and nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import BertForQuestionAnswering

from spanqa_model.packed_bert.attention import GroupedSelfAttention, WindowedSelfAttention, attend
from spanqa_model.packed_bert.forms import FORMS
from spanqa_model.packed_bert.plan import Plan
from unit.model.tiny import POSITIONS, packed_model, random_windows

HIDDEN, HEADS = 32, 4
window_lengths = st.lists(st.integers(1, POSITIONS), min_size=1, max_size=6)
seeds = st.integers(0, 10_000)
FORMS_HERE = ["windowed", "grouped"]


def random_values(tokens: int, width: int, seed: int) -> Tensor:
    return torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed)) * 2


def plan_of(form: str, lengths: list[int]) -> Plan:
    ids, types, windows = random_windows(lengths)
    plan: Plan = FORMS[form].planner(256, 2, POSITIONS)(ids, types, windows.long(), torch.float32)
    return plan


class GivenQkv:
    """Attention that takes query, key and value as its input: no matrix product before it."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.attention = FORMS[form].attention(HIDDEN, HEADS)
        self.attention.qkv = nn.Identity()  # type: ignore[assignment]

    def __call__(self, qkv: Tensor, lengths: list[int]) -> Tensor:
        context: Tensor = self.attention(qkv, plan_of(self.form, lengths))
        return context


@settings(deadline=None, max_examples=50)
@given(window_lengths, seeds)
def test_windowed_equals_grouped(lengths: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    windowed = WindowedSelfAttention(HIDDEN, HEADS)
    grouped = GroupedSelfAttention(HIDDEN, HEADS)
    grouped.load_state_dict(windowed.state_dict())
    hidden = random_values(sum(lengths), HIDDEN, seed)
    torch.testing.assert_close(
        grouped(hidden, plan_of("grouped", lengths)),
        windowed(hidden, plan_of("windowed", lengths)),
        rtol=0,
        atol=1e-5,
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), seeds)
def test_attention_is_the_formula_of_the_paper(length: int, seed: int) -> None:
    query, key, value = random_values(length, 3 * HIDDEN, seed).view(length, 3, HEADS, 8).unbind(1)
    weights = torch.einsum("ihd,jhd->hij", query, key).div(8**0.5).softmax(-1)
    expected = torch.einsum("hij,jhd->hid", weights, value)
    got = attend(query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(window_lengths, seeds)
def test_a_window_alone_is_bit_identical_to_it_in_a_batch(lengths: list[int], seed: int) -> None:
    attention = GivenQkv("windowed")
    qkv = random_values(sum(lengths), 3 * HIDDEN, seed)
    together = attention(qkv, lengths).split(lengths)
    for window, in_batch in zip(qkv.split(lengths), together, strict=True):
        assert torch.equal(attention(window, [len(window)]), in_batch)


@pytest.mark.parametrize("form", FORMS_HERE)
@settings(deadline=None, max_examples=20)
@given(lengths=st.lists(st.integers(1, POSITIONS), min_size=2, max_size=6), seed=seeds)
def test_what_a_neighbour_holds_changes_no_bit(form: str, lengths: list[int], seed: int) -> None:
    attention = GivenQkv(form)
    qkv = random_values(sum(lengths), 3 * HIDDEN, seed)
    other = qkv.clone()
    other[lengths[0] :] = random_values(sum(lengths[1:]), 3 * HIDDEN, seed + 1)
    first = attention(qkv, lengths)
    second = attention(other, lengths)
    assert torch.equal(first[: lengths[0]], second[: lengths[0]])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("form", FORMS_HERE)
@settings(deadline=None, max_examples=10)
@given(lengths=st.lists(st.integers(1, POSITIONS), min_size=2, max_size=6), seed=seeds)
def test_a_windows_logits_do_not_depend_on_its_neighbours(
    reference: BertForQuestionAnswering, form: str, lengths: list[int], seed: int
) -> None:
    model = packed_model(reference, attention=form)
    ids, types, sizes = random_windows(lengths, seed=seed)
    others = torch.cat([ids[: lengths[0]], (ids[lengths[0] :] + 7) % 256])
    window = slice(0, lengths[0])
    in_batch = model(ids, types, sizes)[0][window]
    assert torch.equal(model(others, types, sizes)[0][window], in_batch)
    # Alone, the matrix products have another shape, and BLAS may sum in another order.
    alone = model(ids[window], types[window], sizes[:1])[0]
    torch.testing.assert_close(alone, in_batch, rtol=0, atol=1e-4)
