"""What a run leaves behind, and its export."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoTokenizer, BertForQuestionAnswering, BertTokenizerFast

from spanqa_model.checkpoints.tokenizer import load_tokenizer
from spanqa_model.finetune.results import save_tokenizer
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.checkpoints.tokenizers import TEXTS, write_fast
from unit.model.exporting import load, manifest_of
from unit.model.finetune.runs import OPTIONS, Shell
from unit.model.tiny import edit_json, random_windows, reference_logits, write_vocabulary

FACTS = {"has_no_answer": False, "max_sequence_tokens": 40, "doc_stride_tokens": 9}
TARGET = ("--dtype", "float32", "--device", "cpu")


def assert_same_logits(module: torch.jit.ScriptModule, reference: BertForQuestionAnswering) -> None:
    windows = random_windows([12, 48, 3], vocab_size=150)
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        packed = module(*windows)
    for got, want in zip(packed, reference_logits(reference.eval(), *windows), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-3)


@pytest.mark.parametrize("lora", [False, True])
def test_a_result_is_exported_by_the_command_that_is_printed(
    shell: Shell, base: Path, questions: Path, tmp_path: Path, lora: bool
) -> None:
    output = tmp_path / "my run"
    options = ("--lora", "--lora-rank", "4", "--lora-alpha", "10") if lora else ()
    files = ("--base", base, "--train", questions, "--dev", questions, "--output", output)
    done = shell("finetune", *files, *OPTIONS, *options, "--eval-before")
    before, after, result, following = done.out.splitlines()
    assert before.startswith("before: EM ")
    assert after.startswith("after: EM ")
    assert after.endswith(" on 64 questions")
    assert result == f"result: {output}"
    program, *export = shlex.split(following.removeprefix("next: "))
    assert program == "spanqa-model"
    assert shell(*export, *TARGET, "--repository", tmp_path).code == 0
    version = tmp_path / MODEL_NAME / "1"
    manifest = manifest_of(version)
    assert manifest["name"] == "my run"
    assert manifest["has_no_answer"] is False
    measured = json.loads((output / "metrics.json").read_bytes())["after"]
    assert manifest["exact_match"] == measured["exact_match"]
    assert manifest["f1"] == measured["f1"]
    assert (manifest["max_sequence_tokens"], manifest["doc_stride_tokens"]) == (48, 8)
    if lora:
        plain = BertForQuestionAnswering.from_pretrained(base)
        reference = PeftModel.from_pretrained(plain, str(output)).merge_and_unload()
        config = json.loads((output / "adapter_config.json").read_bytes())
        assert config["base_model_name_or_path"] == str(base)
    else:
        reference = BertForQuestionAnswering.from_pretrained(output)
        tokenizer = load_tokenizer(base)
        assert load_tokenizer(output).to_str() == tokenizer.to_str()
        loaded = AutoTokenizer.from_pretrained(output)
        assert (type(loaded), loaded.model_max_length) == (BertTokenizerFast, 64)
        ids = AutoTokenizer.from_pretrained(output)("Who wrote", "the Café?").input_ids
        assert ids == tokenizer.encode("Who wrote", "the Café?").ids
    assert_same_logits(load(version), reference)


def test_squad_2_ends_as_a_version_with_no_answer(
    shell: Shell, base: Path, questions_v2: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    files = ("--base", base, "--train", questions_v2, "--dev", questions_v2, "--output", output)
    recipe = ("--lora", "--learning-rate", "1e-2", "--dropout", "0", "--batch-size", "8")
    done = shell("finetune", *files, *OPTIONS, *recipe, "--epochs", "20")
    assert "unanswerable: " in done.out
    metrics = json.loads((output / "metrics.json").read_bytes())["after"]
    assert metrics["unanswerable_questions"] == 22
    assert metrics["answerable_questions"] == 42
    assert metrics["unanswerable_exact_match"] > 80
    assert metrics["answerable_exact_match"] > 80
    inputs = ("--checkpoint", base, "--adapter", output, "--repository", tmp_path)
    assert shell("export", *inputs, *TARGET).code == 0
    assert manifest_of(tmp_path / MODEL_NAME / "1")["has_no_answer"] is True


def test_export_believes_its_flags_before_what_was_recorded(
    shell: Shell, checkpoint: Path, tmp_path: Path
) -> None:
    edit_json(checkpoint / "spanqa.json", **FACTS)
    flags = ("--no-answer", "--doc-stride-tokens", "10")
    files = ("--checkpoint", checkpoint, "--repository", tmp_path)
    assert shell("export", *files, *TARGET, *flags).code == 0
    manifest = manifest_of(tmp_path / MODEL_NAME / "1")
    assert manifest["has_no_answer"] is True
    assert (manifest["max_sequence_tokens"], manifest["doc_stride_tokens"]) == (40, 10)


@pytest.mark.parametrize(
    ("configured", "class_name", "longest"),
    [
        ({}, "BertTokenizerFast", 64),
        ({"model_max_length": 48, "tokenizer_class": "BertTokenizer"}, "BertTokenizerFast", 48),
        ({"model_max_length": 1e30, "do_lower_case": False}, "BertTokenizerFast", 64),
        ({"tokenizer_class": "DistilBertTokenizerFast"}, "DistilBertTokenizerFast", 64),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, "PreTrainedTokenizerFast", 64),
        ({"additional_special_tokens": ["[TABLE]"]}, "BertTokenizerFast", 64),
        ({"strip_accents": False, "tokenize_chinese_chars": False}, "BertTokenizerFast", 64),
    ],
)
@pytest.mark.parametrize("cased", [False, True])
def test_the_tokenizer_of_a_result_is_the_bases(
    checkpoint: Path,
    tmp_path: Path,
    cased: bool,
    configured: dict[str, Any],
    class_name: str,
    longest: int,
) -> None:
    write_vocabulary(checkpoint, cased=cased)
    if configured.get("tokenizer_class") == "PreTrainedTokenizerFast":
        write_fast(checkpoint)
    edit_json(checkpoint / "tokenizer_config.json", **configured)
    ours = load_tokenizer(checkpoint)
    result = tmp_path / "result"
    save_tokenizer(ours, checkpoint, result)
    loaded = AutoTokenizer.from_pretrained(result)
    assert (type(loaded).__name__, loaded.model_max_length) == (class_name, longest)
    assert loaded.additional_special_tokens == configured.get("additional_special_tokens", [])
    assert load_tokenizer(result).to_str() == ours.to_str()
    for text in TEXTS:
        ids = loaded(text, add_special_tokens=False).input_ids
        assert ids == ours.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("changes", [{"has_no_answer": "no"}, {"doc_stride_tokens": None}])
def test_a_damaged_record_is_named(
    shell: Shell, checkpoint: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    edit_json(checkpoint / "spanqa.json", **FACTS | changes)
    done = shell("export", "--checkpoint", checkpoint, "--repository", tmp_path)
    (name,) = changes
    assert done.message.startswith(f"spanqa-model: {checkpoint}/spanqa.json: {name} is missing or")
