"""The model under training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.errors import CheckpointError
from spanqa_model.finetune.model import add_lora, build_model
from unit.model.tiny import edit_json, reference_model

IDS = torch.tensor([[2, 10, 11, 3, 12, 13, 3]])
TYPES = torch.tensor([[0, 0, 0, 0, 1, 1, 1]])


def build(directory: Path, **options: Any) -> BertForQuestionAnswering:
    weights = load_checkpoint(directory).state_dict
    return build_model(directory, weights, device="cpu", **({"seed": 0} | options)).eval()


def logits(model: torch.nn.Module) -> Tensor:
    with torch.inference_mode():
        output = model(input_ids=IDS, token_type_ids=TYPES)
    return torch.cat([output.start_logits, output.end_logits])


def test_the_weights_are_the_checkpoints(
    tiny_checkpoint: Path, reference: BertForQuestionAnswering
) -> None:
    torch.testing.assert_close(logits(build(tiny_checkpoint)), logits(reference))


def test_a_new_head_depends_on_the_seed_alone(base: Path) -> None:
    first, again, other = (build(base, seed=seed).qa_outputs.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(build(base).qa_outputs.weight, torch.zeros_like(first))


def test_a_base_that_was_a_classifier_gets_a_head_of_two(base: Path, checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    bare = {name: tensor for name, tensor in weights.items() if "qa_outputs" not in name}
    edit_json(checkpoint / "config.json", id2label={"0": "a", "1": "b", "2": "c"})
    model = build_model(checkpoint, bare, seed=0, device="cpu")
    assert model.qa_outputs.weight.shape == (2, 32)
    assert model.config.num_labels == 2


def test_dropout_is_the_bases_unless_it_is_given(base: Path) -> None:
    assert build(base).config.hidden_dropout_prob == 0.1
    config = build(base, dropout=0.0).config
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.0, 0.0)


def test_logits_are_float32_also_where_products_are_bfloat16(tiny_checkpoint: Path) -> None:
    model = build(tiny_checkpoint)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = logits(model)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, logits(model)), "autocast had no effect"
    steps = rounded.to(torch.bfloat16).to(torch.float32)
    assert not torch.equal(rounded, steps), "the head was computed in bfloat16"


@pytest.mark.parametrize("bfloat16", [False, True])
def test_lora_trains_matrices_layernorms_and_the_head_in_float32(
    base: Path, bfloat16: bool
) -> None:
    adapted = add_lora(build(base), rank=4, alpha=8.0, bfloat16=bfloat16)
    trained = {name: p.dtype for name, p in adapted.named_parameters() if p.requires_grad}
    frozen = {p.dtype for p in adapted.parameters() if not p.requires_grad}
    assert set(trained.values()) == {torch.float32}
    assert frozen == {torch.bfloat16 if bfloat16 else torch.float32}
    # 2 layers: query, key, value and three dense; two LayerNorms each, and the embeddings' own
    assert sum(".lora_A." in name for name in trained) == 12
    assert sum(".LayerNorm." in name for name in trained) == 2 * (2 * 2 + 1)
    assert sum(".qa_outputs." in name for name in trained) == 2


def test_weights_of_another_model_are_refused(base: Path) -> None:
    weights = dict(reference_model(hidden_size=48).state_dict())
    with pytest.raises(CheckpointError, match=r"the weights do not fit: .*size mismatch"):
        build_model(base, weights, seed=0, device="cpu")
    weights = dict(reference_model().state_dict())
    del weights["bert.encoder.layer.1.output.dense.bias"]
    with pytest.raises(CheckpointError, match=r"lack bert.encoder.layer.1.output.dense.bias"):
        build_model(base, weights, seed=0, device="cpu")
