"""The packed module against the reference, and a window against itself in a batch."""

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BertForQuestionAnswering

from spanqa_model.packed_bert.grouping import GROUP_COST
from spanqa_model.packed_bert.model import padded_rows
from unit.model.tiny import (
    POSITIONS,
    packed_model,
    random_windows,
    reference_logits,
    reference_model,
)

seeds = st.integers(0, 1000)


@pytest.mark.parametrize(
    ("attention", "group_cost"),
    [("windowed", None), ("grouped", 0), ("grouped", 2000), ("grouped", GROUP_COST)],
)
@settings(deadline=None, max_examples=15)
@given(lengths=st.lists(st.integers(1, POSITIONS), min_size=1, max_size=12), seed=seeds)
@example(lengths=[1], seed=0)
@example(lengths=[POSITIONS], seed=0)
@example(lengths=[17] * 9, seed=0)
@example(lengths=[2] * 11 + [POSITIONS], seed=0)
def test_packed_windows_equal_the_reference_on_each_alone(
    reference: BertForQuestionAnswering,
    attention: str,
    group_cost: int | None,
    lengths: list[int],
    seed: int,
) -> None:
    windows = random_windows(lengths, seed=seed)
    model: Any = packed_model(reference, attention=attention)
    if group_cost is not None:
        model.bert.planner.group_cost = group_cost
    expected = torch.stack(reference_logits(reference, *windows))
    torch.testing.assert_close(torch.stack(model(*windows)), expected, rtol=0, atol=1e-4)


def test_each_form_of_gelu_is_the_checkpoints_own() -> None:
    windows = random_windows([17, 40])
    logits = {}
    for hidden_act in ("gelu", "gelu_new", "gelu_pytorch_tanh"):
        model = reference_model(hidden_act=hidden_act)
        logits[hidden_act] = torch.stack(packed_model(model)(*windows))
        expected = torch.stack(reference_logits(model, *windows))
        torch.testing.assert_close(logits[hidden_act], expected, rtol=0, atol=1e-4)
    difference = (logits["gelu"] - logits["gelu_new"]).abs().max()
    assert difference > 1e-4, "the forms must differ for this to prove anything"


@pytest.mark.parametrize("attention", ["windowed", "grouped"])
@settings(deadline=None, max_examples=10)
@given(lengths=st.lists(st.integers(1, POSITIONS), min_size=2, max_size=6), seed=seeds)
def test_a_windows_logits_do_not_depend_on_its_neighbours(
    reference: BertForQuestionAnswering, attention: str, lengths: list[int], seed: int
) -> None:
    model = packed_model(reference, attention=attention)
    ids, types, sizes = random_windows(lengths, seed=seed)
    others = torch.cat([ids[: lengths[0]], (ids[lengths[0] :] + 7) % 256])
    window = slice(0, lengths[0])
    in_batch = model(ids, types, sizes)[0][window]
    assert torch.equal(model(others, types, sizes)[0][window], in_batch)
    # Alone, the matrix products have another shape, and BLAS may sum in another order.
    alone = model(ids[window], types[window], sizes[:1])[0]
    torch.testing.assert_close(alone, in_batch, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("batched", [False, True])
def test_shapes_and_integer_types_that_triton_may_send(
    reference: BertForQuestionAnswering, dtype: torch.dtype, batched: bool
) -> None:
    model = packed_model(reference)
    windows = random_windows([5, 9, 30])
    expected = model(*windows)
    inputs = [tensor.to(dtype).unsqueeze(0) if batched else tensor.to(dtype) for tensor in windows]
    for got, want in zip(model(*inputs), expected, strict=True):
        assert got.shape == (44,)
        assert got.is_contiguous()
        assert torch.equal(got, want)


@pytest.mark.parametrize(("step", "numbers"), [(16, 8), (64, 8), (16, 32)])
def test_rows_come_in_few_numbers_and_few_are_empty(step: int, numbers: int) -> None:
    rows = {tokens: padded_rows(tokens, step, numbers) for tokens in range(1, 20_000)}
    for tokens, padded in rows.items():
        assert padded % step == 0
        assert 0 <= padded - tokens < max(step, tokens / numbers)
    first = 2 * numbers * step
    for power in (first, 2 * first):
        assert len({padded for padded in rows.values() if power < padded <= 2 * power}) == numbers
