"""The packed module against the reference, and against itself scripted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertForQuestionAnswering

from spanqa_model.packed_bert.torchscript import to_torchscript
from unit.model.tiny import (
    POSITIONS,
    packed_model,
    random_windows,
    reference_logits,
    reference_model,
)

window_lengths = st.lists(st.integers(1, POSITIONS), min_size=1, max_size=7)


@pytest.mark.parametrize("attention", ["windowed", "grouped"])
@settings(deadline=None, max_examples=15)
@given(lengths=window_lengths, seed=st.integers(0, 1000))
def test_packed_windows_equal_the_reference_on_each_alone(
    reference: BertForQuestionAnswering, attention: str, lengths: list[int], seed: int
) -> None:
    windows = random_windows(lengths, seed=seed)
    starts, ends = packed_model(reference, attention=attention)(*windows)
    want_starts, want_ends = reference_logits(reference, *windows)
    torch.testing.assert_close(starts, want_starts, rtol=0, atol=1e-4)
    torch.testing.assert_close(ends, want_ends, rtol=0, atol=1e-4)


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new", "gelu_pytorch_tanh"])
def test_each_form_of_gelu_is_the_checkpoints_own(hidden_act: str) -> None:
    model = reference_model(hidden_act=hidden_act)
    windows = random_windows([17, 40])
    for got, want in zip(
        packed_model(model)(*windows), reference_logits(model, *windows), strict=True
    ):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


def test_the_forms_of_gelu_differ_in_the_logits() -> None:
    windows = random_windows([17, 40])
    exact = packed_model(reference_model(hidden_act="gelu"))(*windows)[0]
    tanh = packed_model(reference_model(hidden_act="gelu_new"))(*windows)[0]
    assert (exact - tanh).abs().max() > 1e-4


def test_token_types_and_positions_reach_the_logits(reference: BertForQuestionAnswering) -> None:
    model = packed_model(reference)
    ids, types, lengths = random_windows([30])
    logits = model(ids, types, lengths)[0]
    assert (model(ids, torch.zeros_like(types), lengths)[0] - logits).abs().max() > 1e-2
    as_two = model(ids, types, torch.tensor([15, 15], dtype=torch.int32))[0]
    assert (as_two - logits).abs().max() > 1e-2


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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("attention", ["windowed", "grouped"])
def test_scripted_logits_are_float32_and_near_the_eager_ones(
    reference: BertForQuestionAnswering, dtype: str, attention: str
) -> None:
    model = packed_model(reference, attention=attention)
    windows = random_windows([5, 20, 1, POSITIONS])
    tolerance = {"float32": 1e-5, "float16": 0.05, "bfloat16": 0.5}[dtype]
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        results = to_torchscript(model, dtype)(*windows)
    for got, want in zip(results, model(*windows), strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, want, rtol=0, atol=tolerance)


def test_scripting_leaves_the_module_alone(reference: BertForQuestionAnswering) -> None:
    model = packed_model(reference)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    to_torchscript(model, "bfloat16")
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(
        after[name].dtype == torch.float32 and torch.equal(after[name], tensor)
        for name, tensor in before.items()
    )


@pytest.mark.parametrize("attention", ["windowed", "grouped"])
def test_parameters_have_the_checkpoints_names(
    reference: BertForQuestionAnswering, attention: str
) -> None:
    separate = {"query", "key", "value"}
    expected = {
        name.replace(".query.", ".qkv.")
        for name in reference.state_dict()
        if separate.isdisjoint(name.split(".")) or ".query." in name
    }
    assert set(packed_model(reference, attention=attention).state_dict()) == expected
