"""Linear layers in 8 bits: how far they may be off, and that windows do not depend on others."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from spanqa_model.packed_bert import torchscript
from spanqa_model.packed_bert.int8 import (
    WIDE,
    Int8Linear,
    RowByRowLinear,
    engine_for,
    quantized_by,
)
from spanqa_model.packed_bert.torchscript import (
    saved_and_loaded,
    to_torchscript,
    torchscript_deprecation_accepted,
)
from unit.model.packed_bert.test_onednn import saved_and_loaded_times
from unit.model.tiny import packed_model, random_windows, reference_logits, reference_model

LENGTHS = [17, 40, 1, 64, 5, 33, 2, 64] * 4


@pytest.fixture(params=["AMX", "AVX512_BF16", "VNNI"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU to export for: it decides how windows attend."""
    dtypes = ["float32", "int8"] if request.param == "VNNI" else ["float32", "bfloat16", "int8"]
    monkeypatch.setattr(torchscript, "native_dtypes", lambda: dtypes)
    monkeypatch.setattr(torchscript, "multiplies_in_tiles", lambda: request.param == "AMX")


@pytest.fixture
def machine_with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 exponentials of several threads may differ in the last digit."""
    monkeypatch.setattr(torchscript, "native_dtypes", lambda: ["float32", "bfloat16", "int8"])


def largest_error(linear: nn.Linear, hidden: Tensor, bits: int) -> Tensor:
    """What rounding may do to each output: half a step of a weight and of an activation.

    [L, in] → [L, out]. An activation may be two halves off, as its zero point is rounded, too.
    """
    weight_step = linear.weight.abs().amax(1) / 127
    low, high = hidden.min().clamp(max=0), hidden.max().clamp(min=0)
    step = (high - low) / (2**bits - 1)
    of_weights = (hidden.abs() + step).sum(1, keepdim=True) * weight_step / 2
    of_activations = step * linear.weight.abs().sum(1)
    error: Tensor = of_weights + of_activations + 1e-5
    return error


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("rows", [1, 3, 500])
@pytest.mark.parametrize("gelu", ["", "none", "tanh"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_layer_is_off_by_no_more_than_rounding(scale: float, gelu: str, rows: int) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(48, 80)
    hidden = torch.randn(rows, 48) * scale
    hidden[0, 0] *= 10
    want = linear(hidden)
    bits = 7 if int8(linear).reduce_range else 8
    error = largest_error(linear, hidden, bits) * (1.2 if gelu else 1)  # the slope of GELU
    if gelu:
        want = nn.functional.gelu(want, approximate=gelu)
    with torchscript_deprecation_accepted(), torch.inference_mode():
        scripted = torch.jit.script(int8(linear, gelu))
        results = [saved_and_loaded_times(scripted, times)(hidden) for times in (0, 1, 2)]
    for got in results:
        assert got.dtype == torch.float32
        assert ((got - want).abs() <= error).all()
        assert torch.equal(got, results[0])


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("gelu", ["", "none", "tanh"])
def test_a_row_with_a_scale_of_its_own_is_off_by_its_own_rounding(gelu: str, rows: int) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(48, 80)
    hidden = torch.randn(rows, 48) * torch.logspace(-3, 3, rows).unsqueeze(1)
    hidden[0, 0] *= 10
    with torchscript_deprecation_accepted(), torch.inference_mode():
        scripted = torch.jit.script(int8(linear, gelu))
        bits = 7 if scripted.reduce_range else 8
        results = [saved_and_loaded_times(scripted, times) for times in (0, 1, 2)]
        for row in range(rows):
            alone = hidden[row : row + 1]
            both_signs = torch.cat([alone, -alone])
            error = largest_error(linear, both_signs, bits)[:1] * (1.2 if gelu else 1)
            want = linear(alone)
            if gelu:
                want = nn.functional.gelu(want, approximate=gelu)
            for layer in results:
                got = layer.row_by_row(alone)
                assert ((got - want).abs() <= error).all()
                assert torch.equal(got[0], layer.row_by_row(hidden)[row])


def test_wide_layers_are_multiplied_by_onednn_where_torch_has_it() -> None:
    usual = torch.backends.quantized.engine
    assert engine_for(WIDE - 1) == usual
    assert engine_for(WIDE) in {"onednn", usual}
    assert ("onednn" in torch.backends.quantized.supported_engines) == (
        engine_for(WIDE) == "onednn"
    )
    with quantized_by(engine_for(WIDE)):
        assert torch.backends.quantized.engine == engine_for(WIDE)
    assert torch.backends.quantized.engine == usual


def test_a_layer_of_zeros_has_its_bias() -> None:
    linear = nn.Linear(8, 4)
    linear.weight.data[1] = 0
    layer = int8(linear)
    torch.testing.assert_close(layer(torch.zeros(3, 8)), linear.bias.expand(3, 4))
    torch.testing.assert_close(layer(torch.randn(3, 8))[:, 1], linear.bias[1].expand(3))
    torch.testing.assert_close(layer.row_by_row(torch.zeros(3, 8)), linear.bias.expand(3, 4))
    torch.testing.assert_close(layer.row_by_row(torch.randn(3, 8))[:, 1], linear.bias[1].expand(3))


@pytest.fixture(params=["usual", "of wide layers"])
def engine(request: pytest.FixtureRequest) -> Iterator[None]:
    """What multiplies the layers that a test makes."""
    with quantized_by(engine_for(WIDE if request.param == "of wide layers" else 64)):
        yield


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("machine", "engine")
def test_a_windows_logits_are_the_same_alone_and_in_a_batch_of_32(threads: int) -> None:
    module = saved_int8()
    windows = random_windows(LENGTHS)
    together = logits(module, *windows, threads=threads).split(LENGTHS, 1)
    for alone, in_batch in zip(
        each_alone(module, *windows, threads=threads), together, strict=True
    ):
        assert torch.equal(alone, in_batch)


@pytest.mark.usefixtures("machine_with_bfloat16")
def test_a_long_window_that_threads_share_has_the_same_logits() -> None:
    lengths = [200, 131, 7]
    module = saved_int8(positions=256)
    windows = random_windows(lengths)
    together = logits(module, *windows, threads=1).split(lengths, 1)
    for alone, in_batch in zip(each_alone(module, *windows, threads=2), together, strict=True):
        assert torch.equal(alone, in_batch)


@pytest.mark.usefixtures("machine")
def test_a_loaded_model_is_near_the_reference() -> None:
    reference = reference_model(hidden_size=64)
    windows = random_windows(LENGTHS)
    module = saved_int8()
    with torch.inference_mode():
        got = torch.stack(module(*windows))
    want = torch.stack(reference_logits(reference, *windows))
    assert 0 < (got - want).abs().mean() < 0.05 * want.abs().max()


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 70), columns=st.integers(1, 40))
def test_a_row_of_the_head_does_not_depend_on_the_others(rows: int, columns: int) -> None:
    linear = nn.Linear(columns, 2)
    head = RowByRowLinear(linear)
    hidden = torch.randn(rows, columns)
    whole = head(hidden)
    torch.testing.assert_close(whole, linear(hidden))
    assert all(torch.equal(head(hidden[row : row + 1])[0], whole[row]) for row in range(rows))


def test_the_largest_products_do_not_overflow() -> None:
    """Without VNNI, CPUs add pairs of products in 16 bits."""
    linear = nn.Linear(64, 8)
    linear.weight.data.fill_(1.0)
    layer = int8(linear)
    torch.testing.assert_close(
        layer(torch.ones(2, 64)), 64 + linear.bias.expand(2, 8), rtol=0.02, atol=0
    )
    if torch.cpu.get_capabilities().get("avx512_vnni"):
        assert not layer.reduce_range


def int8(linear: nn.Linear, gelu: str = "") -> Int8Linear:
    with torchscript_deprecation_accepted(), torch.inference_mode():
        return Int8Linear(linear, gelu)


def each_alone(
    module: torch.jit.ScriptModule, ids: Tensor, types: Tensor, lengths: Tensor, *, threads: int
) -> list[Tensor]:
    """Logits of each window in a batch of its own."""
    sizes = lengths.tolist()
    parts = zip(ids.split(sizes), types.split(sizes), lengths.split(1), strict=True)
    return [
        logits(module, own_ids, own_types, length, threads=threads)
        for own_ids, own_types, length in parts
    ]


def logits(
    module: torch.jit.ScriptModule, ids: Tensor, types: Tensor, lengths: Tensor, *, threads: int
) -> Tensor:
    """Start and end logits, [2, T]."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            return torch.stack(module(ids, types, lengths))
    finally:
        torch.set_num_threads(before)


def saved_int8(*, positions: int = 64) -> torch.jit.ScriptModule:
    model = packed_model(reference_model(hidden_size=64, positions=positions))
    with torchscript_deprecation_accepted():
        return saved_and_loaded(to_torchscript(model, "int8"))
