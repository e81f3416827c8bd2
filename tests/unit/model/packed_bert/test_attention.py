"""Attention of one window, also where exponentials leave the range of float32."""

import pytest
import torch
from torch import Tensor, nn

from spanqa_model.packed_bert.attention import (
    WindowedSelfAttention,
    attend,
    attend_by_convolution,
    attend_in_tiles,
    attend_on_cpu,
    lay_out,
)
from spanqa_model.packed_bert.plan import Plan
from spanqa_model.packed_bert.torchscript import torchscript_deprecation_accepted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [1, 2, 60, 64])
@pytest.mark.parametrize("size", [0.1, 1, 10, 100, 1e4])
@pytest.mark.parametrize("shift", [0.0, -300.0, 300.0])
@pytest.mark.parametrize("head_size", [8, 32, 64])
def test_it_is_softmax_of_any_scores(
    dtype: torch.dtype, length: int, size: float, shift: float, head_size: int
) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, length, head_size, dtype=torch.float64)
    query = query * size
    # Moves all scores of a row by about as much.
    query[..., 0], key[..., 0] = shift, head_size**0.5
    query, key, value = (part.to(dtype) for part in (query, key, value))
    exact = [part.double() for part in (query, key, value)]
    want = (exact[0] @ exact[1].transpose(1, 2) / head_size**0.5).softmax(-1) @ exact[2]
    # A score has the rounding of its dtype, which the exponential magnifies.
    scores = float((exact[0] @ exact[1].transpose(1, 2)).abs().max())
    error = 8 * torch.finfo(dtype).eps * (1 + scores)
    ways = [attend, laid_out_and_attended]
    if dtype == torch.float32:
        ways.append(attend_by_convolution)
    for got in (way(query, key, value) for way in ways):
        assert got.dtype == dtype
        torch.testing.assert_close(got.double(), want, rtol=0, atol=min(error, 1) * 4)


def test_in_float16_products_stay_within_its_range() -> None:
    # exp(10.2) is 26,903: the sum of two is within float16's 65,504, that of their products is not.
    query, key = torch.zeros(2, 1, 2, 8, dtype=torch.float16)
    query[..., 0], key[..., 0] = 10.2, 8**0.5
    value = torch.full([1, 2, 8], 3.0, dtype=torch.float16)
    assert laid_out_and_attended(query, key, value).equal(value)


def laid_out_and_attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """As a layer does on a CPU; in bfloat16 most lengths get zeros behind them."""
    laid_out = lay_out(torch.stack([query, key, value]))
    return attend_on_cpu(laid_out[0], laid_out[1], laid_out[2], query.size(1))


@pytest.mark.parametrize(("length", "rows"), [(1, 8), (8, 8), (9, 16), (63, 64), (65, 72)])
def test_in_bfloat16_a_window_gets_zeros_up_to_a_common_length(length: int, rows: int) -> None:
    window = torch.randn(length, 3, 2, 4).permute(1, 2, 0, 3)
    assert lay_out(window).equal(window)
    laid_out = lay_out(window.bfloat16())
    assert laid_out.is_contiguous()
    assert laid_out.size(2) == rows
    assert laid_out[:, :, :length].equal(window.bfloat16())
    assert not laid_out[:, :, length:].any()


@pytest.mark.parametrize(
    ("way", "eps"), [("by_convolution", 2**-23), ("in_bfloat16", 2**-8), ("in_tiles", 2**-23)]
)
def test_each_way_of_a_layer_attends_within_windows(way: str, eps: float) -> None:
    torch.manual_seed(0)
    lengths = [130, 1, 144, 16]
    plain = WindowedSelfAttention(48, 3)
    other = WindowedSelfAttention(48, 3, on_cpu=True, **{way: True})
    qkv = torch.randn(sum(lengths), 3 * 48)
    want, got = attended(plain, qkv, lengths), attended(other, qkv, lengths)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=0, atol=16 * eps)
    begin = 0
    for length in lengths:
        own = qkv[begin : begin + length]
        assert attended(other, own, [length]).equal(got[begin : begin + length])
        begin += length


@torch.inference_mode()
def attended(layer: WindowedSelfAttention, qkv: Tensor, lengths: list[int]) -> Tensor:
    """What a scripted layer makes of queries, keys and values of windows."""
    nothing = torch.zeros(0)
    plan = Plan(nothing, lengths, nothing, [], nothing)
    layer.add_module("qkv", nn.Identity())
    with torchscript_deprecation_accepted():
        result: Tensor = torch.jit.script(layer)(qkv, plan)
    return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_in_tiles_each_window_is_computed_by_itself(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    lengths = [1, 15, 16, 17, 60, 33, 2]
    qkv = torch.randn(sum(lengths), 3, 2, 8).to(dtype).permute(1, 2, 0, 3)
    together = attend_in_tiles(qkv, lengths)
    for window, got in zip(qkv.split(lengths, dim=2), together, strict=True):
        length = window.size(2)
        assert got.equal(*attend_in_tiles(window, [length]))
        want = attend(*window.double())
        torch.testing.assert_close(got.double(), want, rtol=0, atol=8 * torch.finfo(dtype).eps)
