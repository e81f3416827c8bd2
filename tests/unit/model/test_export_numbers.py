"""Weights that are not numbers, or too large for a dtype, leave no version."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from spanqa_model.errors import ModelError
from spanqa_model.packed_bert.devices import Dtype
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.checkpoints.adapters import save_adapter
from unit.model.exporting import export, tiny_source
from unit.model.finetune.runs import OPTIONS, Shell
from unit.model.repository.version_files import versions_in
from unit.model.tiny import reference_model, use_bin

Weights = dict[str, Tensor]
WORDS = "bert.embeddings.word_embeddings.weight"
INNER = "bert.encoder.layer.0.intermediate.dense.weight"


def head_of_nan(weights: Weights) -> None:
    weights["qa_outputs.weight"].fill_(torch.nan)


def one_infinite_embedding(weights: Weights) -> None:
    weights[WORDS][7, 3] = torch.inf


def one_nan_bias(weights: Weights) -> None:
    weights["bert.encoder.layer.1.output.LayerNorm.bias"][5] = torch.nan


def one_large_weight(weights: Weights) -> None:
    weights[INNER][0, 0] = 1e5


def large_activations(weights: Weights) -> None:
    weights[INNER].mul_(6e4)


def change(checkpoint: Path, damage: Callable[[Weights], None]) -> None:
    file = checkpoint / "model.safetensors"
    weights = load_file(file)
    damage(weights)
    save_file(weights, file)


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (head_of_nan, r"qa_outputs\.weight holds NaN or infinity \(64 of 64 values\): its train"),
        (one_infinite_embedding, r"word_embeddings\.weight holds NaN or infinity \(1 of 8,192 "),
        (one_nan_bias, r"layer\.1\.output\.LayerNorm\.bias holds NaN or infinity \(1 of 32 "),
    ],
)
def test_weights_that_are_not_numbers(
    checkpoint: Path,
    tmp_path: Path,
    damage: Callable[[Weights], None],
    message: str,
    pickled: bool,
) -> None:
    change(checkpoint, damage)
    if pickled:
        use_bin(checkpoint)
    with pytest.raises(ModelError, match=message):
        export(tiny_source(checkpoint), tmp_path / "repository")
    assert versions_in(tmp_path / "repository") == set()


def test_the_command_fails(shell: Shell, checkpoint: Path, questions: Path, tmp_path: Path) -> None:
    change(checkpoint, head_of_nan)
    reason = f"{checkpoint}: qa_outputs.weight holds NaN"
    limits = ("--max-sequence-tokens", "48", "--doc-stride-tokens", "8", "--device", "cpu")
    done = shell("export", "--checkpoint", checkpoint, "--repository", tmp_path, *limits)
    assert reason in done.message
    assert not (tmp_path / MODEL_NAME / "1").exists()
    files = ("--base", checkpoint, "--train", questions, "--output", tmp_path / "run")
    assert reason in shell("finetune", *files, *OPTIONS).message


def test_an_adapter_that_is_not_numbers_is_named(checkpoint: Path, tmp_path: Path) -> None:
    save_adapter(reference_model(), tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    next(iter(weights.values()))[0, 0] = torch.nan
    save_file(weights, file)
    source = replace(tiny_source(checkpoint), adapter=tmp_path / "adapter")
    with pytest.raises(ModelError, match=r"/adapter: bert.* holds NaN or infinity"):
        export(source, tmp_path / "repository")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (one_large_weight, f"--dtype float16: {INNER} goes up to 1e\\+05, and float16 to 6.55e"),
        (large_activations, "--dtype float16: the logits are not numbers; use --dtype float32"),
    ],
)
def test_numbers_too_large_for_float16(
    checkpoint: Path,
    tmp_path: Path,
    dtype: Dtype,
    damage: Callable[[Weights], None],
    message: str,
) -> None:
    change(checkpoint, damage)
    source = tiny_source(checkpoint)
    if dtype == "float16":
        with pytest.raises(ModelError, match=message):
            export(source, tmp_path / "repository", dtype=dtype)
        assert versions_in(tmp_path / "repository") == set()
    else:
        assert export(source, tmp_path / "repository", dtype=dtype).version == 1
