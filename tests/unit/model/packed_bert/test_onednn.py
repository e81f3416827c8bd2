"""Linear layers on oneDNN: saved with ordinary weights, loaded with weights laid out for it."""

import pytest
import torch
from torch import nn
from transformers import BertForQuestionAnswering

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


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
def test_a_loaded_model_gives_the_references_logits(hidden_act: str) -> None:
    reference: BertForQuestionAnswering = reference_model(hidden_act=hidden_act)
    windows = random_windows([17, 40, 1])
    scripted = to_torchscript(packed_model(reference), "float32", onednn=True)
    with torchscript_deprecation_accepted(), torch.inference_mode():
        loaded = saved_and_loaded(scripted)
        for got, want in zip(loaded(*windows), reference_logits(reference, *windows), strict=True):
            torch.testing.assert_close(got, want, rtol=0, atol=1e-4)
    laid_out = [module.weight.is_mkldnn for module in loaded.modules() if hasattr(module, "gelu")]
    assert len(laid_out) >= 4
    assert all(laid_out) == torch.backends.mkldnn.is_available()
