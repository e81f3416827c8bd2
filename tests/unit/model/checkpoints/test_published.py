"""The layout of the production preset on the hub: old names, spare parts, both forms of weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer, BertForQuestionAnswering

from unit.model.checkpoints.published import FORMS, LARGE_CASED, SMALL, write_published
from unit.model.checkpoints.tokenizers import TEXTS, assert_as_the_reference
from unit.model.exporting import load, manifest_of
from unit.model.finetune.runs import Shell
from unit.model.tiny import random_windows, reference_logits

TARGET = ("--device", "cpu", "--dtype", "float32")


def assert_exports_as_the_reference(
    shell: Shell, directory: Path, repository: Path, lengths: list[int], *options: str
) -> dict[str, Any]:
    """Export, and compare with what the reference loads from the same directory."""
    done = shell("export", "--checkpoint", directory, "--repository", repository, *TARGET, *options)
    assert done.code == 0, done
    assert done.out.startswith("parity with the eager float32 module on 8 windows"), done.out
    assert "best start or end changed in 0 of 16" in done.out
    assert "note: " not in done.err
    print(done.out)
    version = repository / "bert_qa" / "1"
    manifest = manifest_of(version)
    reference, loading = BertForQuestionAnswering.from_pretrained(
        directory, attn_implementation="eager", output_loading_info=True
    )
    assert not loading["missing_keys"]
    windows = random_windows(lengths, vocab_size=manifest["vocab_size"])
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        packed = torch.stack(load(version)(*windows))
    expected = torch.stack(reference_logits(reference.eval(), *windows))
    difference = (packed - expected).abs().max().item()
    print(f"largest difference from the reference: {difference:.1e}, spread {expected.std():.2f}")
    assert expected.std() > 0.3, "small logits would hide a difference"
    assert difference < 1e-3
    return manifest


@pytest.mark.parametrize("forms", [FORMS, FORMS[:1], FORMS[1:]], ids="+".join)
def test_a_small_shape(shell: Shell, tmp_path: Path, forms: tuple[str, ...]) -> None:
    directory = tmp_path / "published"
    write_published(directory, forms=forms, **SMALL)
    assert {path.name for path in directory.iterdir()} == {
        *("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json", *forms)
    }
    assert_as_the_reference(directory, (*TEXTS, "Who wrote THE Piece9?"))
    assert AutoTokenizer.from_pretrained(directory).do_lower_case is False
    manifest = assert_exports_as_the_reference(shell, directory, tmp_path, [384, 3, 170])
    assert (manifest["max_position_embeddings"], manifest["vocab_size"]) == (512, 256)


def test_the_files_have_the_old_names_and_the_spare_parts(tmp_path: Path) -> None:
    write_published(tmp_path / "published", forms=FORMS[:1], **SMALL)
    with safe_open(tmp_path / "published" / FORMS[0], "pt") as file:
        names = set(file.keys())
    assert {"bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.beta"} <= names
    assert {"bert.embeddings.position_ids", "bert.pooler.dense.weight"} <= names
    assert not any("LayerNorm.weight" in name for name in names)


@pytest.mark.slow
def test_the_true_shape(shell: Shell, tmp_path: Path) -> None:
    """Some minutes and 8 GB of memory; `-s` prints the figures."""
    directory = tmp_path / "published"
    write_published(directory)
    short = ("--max-sequence-tokens", "128", "--doc-stride-tokens", "32")
    manifest = assert_exports_as_the_reference(shell, directory, tmp_path, [128, 33, 12], *short)
    assert manifest["vocab_size"] == LARGE_CASED["vocab_size"]
