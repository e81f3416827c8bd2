"""Linear layers on oneDNN: saved with ordinary weights, loaded with weights laid out for it."""

import pytest
import torch
from torch import nn
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering
from spanqa_model.packed_bert.onednn import OneDnnLinear
from spanqa_model.packed_bert.torchscript import (
    saved_and_loaded,
    to_torchscript,
    torchscript_deprecation_accepted,
)
from unit.model.tiny import packed_model, random_windows, reference_logits, reference_model

ERROR = {torch.float32: 2e-5, torch.bfloat16: 3e-2}


def saved_and_loaded_times(module: torch.jit.ScriptModule, times: int) -> torch.jit.ScriptModule:
    for _ in range(times):
        module = saved_and_loaded(module)
    return module


@pytest.mark.parametrize("rows", [1, 3, 500])
@pytest.mark.parametrize("gelu", ["", "none", "tanh"])
@pytest.mark.parametrize("dtype", list(ERROR))
def test_a_layer_computes_what_linear_and_gelu_do(dtype: torch.dtype, gelu: str, rows: int) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(48, 80).to(dtype)
    hidden = torch.randn(rows, 48, dtype=dtype)
    want = linear(hidden)
    if gelu:
        want = nn.functional.gelu(want, approximate=gelu)
    with torchscript_deprecation_accepted(), torch.inference_mode():
        scripted = torch.jit.script(OneDnnLinear(linear, gelu))
        for times in (0, 1, 2):  # what is saved once more has ordinary weights again
            got = saved_and_loaded_times(scripted, times)(hidden)
            assert got.dtype == dtype
            torch.testing.assert_close(got, want, rtol=ERROR[dtype], atol=ERROR[dtype])


@pytest.mark.parametrize("attention", ["windowed", "grouped"])
@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
def test_a_loaded_model_gives_the_references_logits(hidden_act: str, attention: str) -> None:
    reference: BertForQuestionAnswering = reference_model(hidden_act=hidden_act)
    windows = random_windows([17, 40, 1])
    scripted = to_torchscript(packed_model(reference, attention=attention), "float32", onednn=True)
    with torchscript_deprecation_accepted(), torch.inference_mode():
        loaded = saved_and_loaded(scripted)
        for got, want in zip(loaded(*windows), reference_logits(reference, *windows), strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-4)
    laid_out = [module.weight.is_mkldnn for module in loaded.modules() if hasattr(module, "gelu")]
    assert len(laid_out) >= 4
    assert all(laid_out) == torch.backends.mkldnn.is_available()


# The embedded model's width: with AMX oneDNN would cut the sums of one layer.
NARROW = BertConfig(
    vocab_size=256,
    hidden_size=384,
    num_hidden_layers=2,
    num_attention_heads=12,
    intermediate_size=1536,
    max_position_embeddings=384,
    type_vocab_size=2,
    layer_norm_eps=1e-12,
    hidden_act="gelu",
)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_windows_logits_do_not_depend_on_the_others(dtype: str) -> None:
    torch.manual_seed(0)
    lengths = [17, 40, 1, 64, 384, 30, 200, 33, 384, 100]
    module = PackedBertForQuestionAnswering(NARROW).eval()
    ids, types, _ = random_windows(lengths)
    with torchscript_deprecation_accepted(), torch.inference_mode():
        loaded = saved_and_loaded(to_torchscript(module, dtype, onednn=True))
        together = loaded(ids, types, torch.tensor(lengths))
        begin = 0
        for length in lengths:
            window = slice(begin, begin + length)
            alone = loaded(ids[..., window], types[..., window], torch.tensor([length]))
            for one, all_ in zip(alone, together, strict=True):
                assert one.equal(all_[window])
            begin += length


@pytest.mark.parametrize("rows", [64, 128, 192, 320, 1024])
def test_parts_are_put_together(rows: int) -> None:
    torch.manual_seed(0)
    layer = OneDnnLinear(nn.Linear(48, 80).to(torch.bfloat16), "none")
    hidden = torch.randn(rows, 48, dtype=torch.bfloat16)
    with torchscript_deprecation_accepted(), torch.inference_mode():
        want = saved_and_loaded(torch.jit.script(layer))(hidden)
        layer.in_parts = True
        got = saved_and_loaded(torch.jit.script(layer))(hidden)
    assert got.equal(want)
