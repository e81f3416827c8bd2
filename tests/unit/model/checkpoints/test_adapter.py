"""Adapters: which base they are merged into, and those that only PEFT can merge."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    IA3Config,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForQuestionAnswering, BertForQuestionAnswering

from spanqa_model.checkpoints.adapter import base_of
from spanqa_model.checkpoints.lora import merge_adapter
from spanqa_model.checkpoints.presets import PRESETS
from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.errors import CheckpointError
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.checkpoints.adapters import LINEAR, save_adapter, save_adapter_of
from unit.model.exporting import load, manifest_of
from unit.model.finetune.runs import OPTIONS, Shell
from unit.model.tiny import edit_json, random_windows, reference_logits

TARGET = ("--device", "cpu", "--dtype", "float32", "--max-sequence-tokens", "48")
EXPORT = ("export", *TARGET, "--doc-stride-tokens", "8")
OTHERS: dict[str, PeftConfig] = {
    "DoRA": LoraConfig(r=4, target_modules=LINEAR, use_dora=True),
    "rank_pattern": LoraConfig(r=4, target_modules=LINEAR, rank_pattern={"query": 2}),
    "alpha_pattern": LoraConfig(r=4, target_modules=LINEAR, alpha_pattern={"query": 2}),
    "bias": LoraConfig(r=4, target_modules=LINEAR, bias="lora_only"),
    "embedding": LoraConfig(r=4, target_modules=["query", "word_embeddings"]),
    "IA3": IA3Config(target_modules=LINEAR, feedforward_modules=["dense"]),
    "LoHa": LoHaConfig(r=4, target_modules=LINEAR),
    "LoKr": LoKrConfig(r=4, target_modules=LINEAR),
}


@pytest.fixture
def adapter(tmp_path: Path, checkpoint: Path, reference: BertForQuestionAnswering) -> Path:
    """An adapter for `checkpoint`, a directory."""
    directory = tmp_path / "my-adapter"
    save_adapter(reference, directory, modules_to_save=["qa_outputs"])
    edit_json(directory / "adapter_config.json", base_model_name_or_path=str(checkpoint))
    return directory


@pytest.mark.parametrize("option", ["--adapter", "--checkpoint"])
def test_an_adapter_alone_is_merged_into_the_base_that_it_names(
    shell: Shell,
    checkpoint: Path,
    adapter: Path,
    reference: BertForQuestionAnswering,
    tmp_path: Path,
    option: str,
) -> None:
    done = shell(*EXPORT, option, adapter, "--repository", tmp_path)
    assert done.code == 0, done
    assert "note: " not in done.err
    version = tmp_path / MODEL_NAME / "1"
    manifest = manifest_of(version)
    assert (manifest["name"], manifest["source"]) == ("my-adapter", checkpoint.name)
    plain = BertForQuestionAnswering.from_pretrained(checkpoint, attn_implementation="eager")
    merged = PeftModel.from_pretrained(plain, str(adapter)).merge_and_unload().eval()
    windows = random_windows([48, 3, 25])
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        packed = load(version)(*windows)
    for got, want in zip(packed, reference_logits(merged, *windows), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("/somewhere/else/my-bert", "was trained on '/somewhere/else/my-bert', which is no dir"),
        ("./my-bert", "was trained on './my-bert', which is no directory here; say where"),
        ("runs/squad/final", "with --checkpoint DIR or --checkpoint OWNER/NAME"),
        ("bert-base-uncased", "was trained on 'bert-base-uncased', which is no directory here"),
        ("", "names no base model; give it with --checkpoint DIR"),
        (None, "names no base model; give it with --checkpoint DIR"),
        (["a"], "names no base model"),
    ],
)
@pytest.mark.parametrize("option", ["--adapter", "--checkpoint"])
def test_an_adapter_whose_base_is_not_here_is_refused(
    shell: Shell, adapter: Path, tmp_path: Path, option: str, base: object, message: str
) -> None:
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=base)
    assert message in shell(*EXPORT, option, adapter, "--repository", tmp_path).message
    assert not (tmp_path / MODEL_NAME / "1").exists()


def test_the_base_of_a_preset_is_the_presets_own(tmp_path: Path) -> None:
    preset = PRESETS["minilm-squad"]
    assert preset.adapter is not None
    copied = Path(shutil.copytree(preset.adapter, tmp_path / "mine"))
    found = replace(preset, name="mine", adapter=copied, exact_match=None, f1=None)
    assert base_of(copied) == found
    edit_json(copied / "adapter_config.json", revision=None)
    assert base_of(copied) == found
    edit_json(copied / "adapter_config.json", revision="another")
    assert (base_of(copied).revision, base_of(copied).wheel_package) == ("another", "")


def test_another_base_that_the_options_name_is_taken_and_noted(
    shell: Shell, checkpoint: Path, adapter: Path, tmp_path: Path
) -> None:
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="owner/other-bert")
    options = ("--checkpoint", checkpoint, "--adapter", adapter, "--repository", tmp_path)
    done = shell(*EXPORT, *options)
    assert done.code == 0, done
    note = f"note: {adapter}: was trained on 'owner/other-bert', and is merged into '{checkpoint}'"
    assert note in done.err
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="owner/tiny-bert")
    assert "note: " not in shell(*EXPORT, *options).err


def test_an_adapter_is_no_base_for_finetune(
    shell: Shell, adapter: Path, questions: Path, tmp_path: Path
) -> None:
    files = ("--base", adapter, "--train", questions, "--output", tmp_path / "run")
    message = shell("finetune", *files, *OPTIONS).message
    assert "my-adapter: is a PEFT adapter, not a whole model; merge it with PEFT" in message


@pytest.mark.parametrize("name", OTHERS)
def test_what_only_peft_can_merge_is_refused_and_the_way_out_works(
    checkpoint: Path, reference: BertForQuestionAnswering, tmp_path: Path, name: str
) -> None:
    adapted = save_adapter_of(reference, tmp_path / "adapter", OTHERS[name])
    way_out = r"; merge it with PEFT, in Python: .* and give --checkpoint DIR$"
    with pytest.raises(CheckpointError, match=way_out) as caught:
        merge_adapter(reference.state_dict(), tmp_path / "adapter")
    assert "\n" not in str(caught.value)
    base = AutoModelForQuestionAnswering.from_pretrained(checkpoint)
    merged = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    shutil.copyfile(checkpoint / "vocab.txt", tmp_path / "merged" / "vocab.txt")
    weights = load_checkpoint(tmp_path / "merged").state_dict
    expected = adapted.merge_and_unload().state_dict()
    assert weights.keys() == expected.keys()
    for parameter, tensor in expected.items():
        torch.testing.assert_close(weights[parameter], tensor, rtol=1e-5, atol=1e-5)
    assert any(not torch.equal(weights[n], t) for n, t in reference.state_dict().items())


def test_what_cannot_be_merged_at_all_is_refused(
    reference: BertForQuestionAnswering, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"num_virtual_tokens": 3, "task_type": "QUESTION_ANS"}
    save_adapter_of(reference, tmp_path, PrefixTuningConfig(**settings))
    with pytest.raises(CheckpointError, match=r"'PREFIX_TUNING', which cannot be merged into a"):
        merge_adapter(reference.state_dict(), tmp_path)


def unwrapped(name: str) -> str:
    return name.replace("base_model.model.bert.", "base_model.model.")


def compiled(name: str) -> str:
    return name.replace("base_model.model.", "base_model.model._orig_mod.")


@pytest.mark.parametrize("rename", [unwrapped, compiled, str.strip])
def test_adapters_of_a_base_in_another_class_or_wrapper(
    adapter: Path, reference: BertForQuestionAnswering, rename: Any
) -> None:
    expected = merge_adapter(reference.state_dict(), adapter)
    file = adapter / "adapter_model.safetensors"
    pooler = {
        "base_model.model.bert.pooler.dense.lora_A.weight": torch.ones(4, 32),
        "base_model.model.bert.pooler.dense.lora_B.weight": torch.ones(32, 4),
    }
    save_file({rename(name): t for name, t in (load_file(file) | pooler).items()}, file)
    merged = merge_adapter(reference.state_dict(), adapter)
    assert merged.keys() == expected.keys()
    assert all(torch.equal(merged[name], tensor) for name, tensor in expected.items())
