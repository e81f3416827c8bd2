"""Merging LoRA adapters as PEFT does, and refusing what would merge wrongly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.lora import merge_adapter
from spanqa_model.errors import CheckpointError
from unit.model.checkpoints.adapters import save_adapter
from unit.model.tiny import edit_json, reference_model


@pytest.fixture
def adapter(tmp_path: Path, reference: BertForQuestionAnswering) -> Path:
    directory = tmp_path / "adapter"
    save_adapter(reference, directory)
    return directory


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"r": 1, "lora_alpha": 3},
        {"target_modules": ["query"]},
        {"modules_to_save": ["qa_outputs", "LayerNorm"]},
        {"init_lora_weights": "gaussian"},
    ],
    ids=lambda options: ",".join(options) or "plain",
)
def test_merged_weights_equal_pefts(
    reference: BertForQuestionAnswering, tmp_path: Path, options: dict[str, Any]
) -> None:
    adapted = save_adapter(reference, tmp_path, **options)
    ours = merge_adapter(reference.state_dict(), tmp_path)
    expected = adapted.merge_and_unload().state_dict()
    assert ours.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-6, atol=1e-6)
    changed = [n for n, t in reference.state_dict().items() if not torch.equal(ours[n], t)]
    assert len(changed) >= 2


def test_merging_leaves_the_base_alone(reference: BertForQuestionAnswering, adapter: Path) -> None:
    base = reference_model().state_dict()
    merge_adapter(base, adapter)
    assert base.keys() == reference.state_dict().keys()
    assert all(torch.equal(base[name], t) for name, t in reference.state_dict().items())


def test_a_pickled_adapter_of_half_precision(
    reference: BertForQuestionAnswering, adapter: Path
) -> None:
    expected = merge_adapter(reference.state_dict(), adapter)
    safetensors = adapter / "adapter_model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(safetensors).items()}
    torch.save(halves, adapter / "adapter_model.bin")
    safetensors.unlink()
    merged = merge_adapter(reference.state_dict(), adapter)
    for name, tensor in expected.items():
        assert merged[name].dtype == torch.float32
        torch.testing.assert_close(merged[name], tensor, rtol=0, atol=1e-2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3', not 'LORA'"),
        ({"use_dora": True}, "use_dora=True is not supported"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out=True"),
        ({"bias": "all"}, "bias='all'"),
        ({"rank_pattern": {"query": 8}}, "rank_pattern="),
        ({"alpha_pattern": {"query": 8}}, "alpha_pattern="),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"layer_replication": [[0, 1], [0, 2]]}, "layer_replication="),
        ({"alora_invocation_tokens": [5]}, "alora_invocation_tokens="),
        ({"init_lora_weights": "pissa_niter_4"}, "changed the base model; merge it with PEFT"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora' changed the base model"),
        ({"r": None}, "r or lora_alpha is not a number"),
        ({"r": 0}, "r or lora_alpha is not a number"),
        ({"lora_alpha": "much"}, "r or lora_alpha is not a number"),
    ],
)
def test_other_variants_are_refused(
    reference: BertForQuestionAnswering, adapter: Path, changes: dict[str, Any], message: str
) -> None:
    edit_json(adapter / "adapter_config.json", **changes)
    with pytest.raises(CheckpointError, match=message):
        merge_adapter(reference.state_dict(), adapter)


def test_an_adapter_for_another_base_is_refused(adapter: Path) -> None:
    other = reference_model(hidden_size=48).state_dict()
    with pytest.raises(CheckpointError, match="made for another base model"):
        merge_adapter(other, adapter)
    lacks_a_layer = {n: t for n, t in reference_model().state_dict().items() if "layer.1" not in n}
    with pytest.raises(CheckpointError, match=r"layer\.1.* does not fit"):
        merge_adapter(lacks_a_layer, adapter)


@pytest.mark.parametrize("damage", ["lost", "reshaped"])
def test_an_adapter_with_half_a_pair_is_refused(
    reference: BertForQuestionAnswering, adapter: Path, damage: str
) -> None:
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("lora_B.weight"))
    if damage == "lost":
        del tensors[name]
    else:
        tensors[name] = tensors[name][:, :2].contiguous()
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"corrupt \(lora_A and lora_B of bert"):
        merge_adapter(reference.state_dict(), adapter)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
@pytest.mark.parametrize("broken", [False, True])
def test_missing_and_corrupt_files_are_named(
    reference: BertForQuestionAnswering, adapter: Path, file: str, broken: bool
) -> None:
    if broken:
        (adapter / file).write_bytes(b"\xff\x00")
    else:
        (adapter / file).unlink()
    with pytest.raises(CheckpointError, match=file):
        merge_adapter(reference.state_dict(), adapter)
