"""Reading checkpoints: every layout that occurs, and missing parts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertForQuestionAnswering, BertModel

from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.errors import CheckpointError
from spanqa_model.packed_bert.build import build_module
from unit.model.tiny import edit_json, packed_config, reference_model, use_bin

Weights = dict[str, Tensor]


def assert_weights_are(directory: Path, model: BertForQuestionAnswering) -> None:
    loaded = load_checkpoint(directory)
    expected = model.state_dict()
    assert loaded.state_dict.keys() == expected.keys()
    assert all(torch.equal(loaded.state_dict[name], expected[name]) for name in expected)
    build_module(loaded.config, loaded.state_dict)


def test_safetensors(tiny_checkpoint: Path, reference: BertForQuestionAnswering) -> None:
    assert_weights_are(tiny_checkpoint, reference)
    assert load_checkpoint(tiny_checkpoint).weights_file == tiny_checkpoint / "model.safetensors"


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_weights(
    checkpoint: Path, reference: BertForQuestionAnswering, zipped: bool
) -> None:
    pickled = use_bin(checkpoint, zipped=zipped)
    assert_weights_are(checkpoint, reference)
    assert load_checkpoint(checkpoint).weights_file == pickled


def with_tensorflow_names(weights: Weights) -> Weights:
    named = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, tensor in weights.items():
        for ours, theirs in named.items():
            name = name.replace(ours, theirs)
        renamed[name] = tensor
    return renamed


def with_pretraining_heads_and_old_buffers(weights: Weights) -> Weights:
    return weights | {
        "bert.embeddings.position_ids": torch.arange(64)[None],
        "bert.pooler.dense.weight": torch.zeros(32, 32),
        "cls.predictions.bias": torch.zeros(256),
    }


@pytest.mark.parametrize("change", [with_tensorflow_names, with_pretraining_heads_and_old_buffers])
def test_other_names_and_other_parts(
    checkpoint: Path,
    reference: BertForQuestionAnswering,
    change: Callable[[Weights], Weights],
) -> None:
    file = checkpoint / "model.safetensors"
    weights = load_file(file)
    changed = change(weights)
    assert changed.keys() != weights.keys()
    save_file(changed, file)
    assert_weights_are(checkpoint, reference)


def test_a_base_model_is_named_without_its_prefix(
    checkpoint: Path, reference: BertForQuestionAnswering
) -> None:
    BertModel(reference.config).save_pretrained(checkpoint)
    on_disk = load_file(checkpoint / "model.safetensors")
    assert not any(name.startswith("bert.") for name in on_disk)
    loaded = load_checkpoint(checkpoint)
    expected = {name for name in reference.state_dict() if name.startswith("bert.")}
    assert set(loaded.state_dict) == expected
    with pytest.raises(CheckpointError, match=r"no question answering head \(qa_outputs\)"):
        build_module(loaded.config, loaded.state_dict)


def test_half_precision_weights_are_widened(checkpoint: Path) -> None:
    weights = load_file(checkpoint / "model.safetensors")
    save_file({k: v.half() for k, v in weights.items()}, checkpoint / "model.safetensors")
    loaded = load_checkpoint(checkpoint)
    built = build_module(loaded.config, loaded.state_dict)
    assert {tensor.dtype for tensor in built.state_dict().values()} == {torch.float32}


def test_a_head_of_another_size_is_not_called_missing() -> None:
    model = reference_model()
    weights = model.state_dict() | {"qa_outputs.weight": torch.zeros(3, 32)}
    with pytest.raises(CheckpointError, match=r"size mismatch for qa_outputs\.weight"):
        build_module(packed_config(model), weights)


def test_weights_of_another_shape_are_refused(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", num_hidden_layers=3)
    loaded = load_checkpoint(checkpoint)
    with pytest.raises(CheckpointError, match=r"do not fit config\.json"):
        build_module(loaded.config, loaded.state_dict)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "config.json: missing"),
        ("model.safetensors", "holds neither model.safetensors nor pytorch_model.bin"),
        ("vocab.txt", "holds neither tokenizer.json nor vocab.txt"),
    ],
)
def test_missing_files_are_named(checkpoint: Path, file: str, message: str) -> None:
    (checkpoint / file).unlink()
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(checkpoint)
