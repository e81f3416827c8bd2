"""vLLM's section of the GPU benchmark, with a stand-in for vLLM on a CPU."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import BertForTokenClassification

from benchmarks.gpu import vllm_model
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.options import Deadline, MissingError, Options


class LLM:
    """Computes with transformers what vLLM's pooling runner is asked for."""

    def __init__(self, model: str, runner: str, **settings: Any) -> None:
        assert runner == "pooling"
        assert settings["max_model_len"] <= 512
        self._model = BertForTokenClassification.from_pretrained(model).eval()

    @torch.inference_mode()
    def encode(
        self, prompts: list[dict[str, list[int]]], parameters: list[Any], **options: Any
    ) -> list[Any]:
        assert options["pooling_task"] == "token_classify"
        found = []
        for prompt, asked in zip(prompts, parameters, strict=True):
            assert asked.use_activation is False, "probabilities would be compared with logits"
            ids = torch.tensor([prompt["prompt_token_ids"]])
            head = asked.extra_kwargs["compressed_token_type_ids"]
            types = (torch.arange(ids.shape[1]) >= head).long()[None]
            logits = self._model(input_ids=ids, token_type_ids=types).logits[0]
            found.append(SimpleNamespace(outputs=SimpleNamespace(data=logits)))
        return found


@pytest.fixture
def bench() -> Bench:
    return Bench(Options("cpu", small=True, data=Path("none")))


def test_without_it_the_section_says_how_to_get_it(bench: Bench) -> None:
    with pytest.raises(MissingError, match="vllm not installed here: `pip install vllm`"):
        next(vllm_model.vllm(bench, Deadline.after(1)))


def test_it_computes_what_the_packed_module_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = ModuleType("vllm")
    fake.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    fake.LLM, fake.PoolingParams = LLM, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", fake)
    packed, theirs = vllm_model.vllm(bench, Deadline.after(1))
    assert (packed["contender"], theirs["contender"]) == ("packed", "vLLM")
    assert float(theirs["windows_per_second"]) > 0
    assert float(theirs["max_difference"]) < 1e-5
