"""Weights in several files, in wrappers, and damaged."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.fetching import verify_weights
from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.checkpoints.weights import INDEX, files_of
from spanqa_model.errors import CheckpointError
from unit.model.checkpoints.published import write_shards
from unit.model.exporting import export, load, manifest_of, tiny_source
from unit.model.finetune.runs import result_weights, run
from unit.model.tiny import edit_json, random_windows, reference_logits

both_forms = pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])


@pytest.fixture
def sharded(tmp_path: Path, reference: BertForQuestionAnswering, safe: bool) -> Path:
    """The tiny checkpoint in several files, as the reference writes it; returns the index."""
    return write_shards(tmp_path / "sharded", reference, safe=safe)


def assert_weights_are(directory: Path, model: BertForQuestionAnswering) -> None:
    ours, expected = load_checkpoint(directory).state_dict, model.state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


@both_forms
def test_shards_are_read_together(sharded: Path, reference: BertForQuestionAnswering) -> None:
    files = files_of(sharded)
    assert len(files) > 2
    assert_weights_are(sharded.parent, reference)
    content = b"".join(file.read_bytes() for file in sorted(files))
    assert verify_weights(sharded, "") == hashlib.sha256(content).hexdigest()


@both_forms
def test_a_sharded_checkpoint_is_exported(
    sharded: Path, reference: BertForQuestionAnswering, tmp_path: Path
) -> None:
    version = export(tiny_source(sharded.parent), tmp_path / "repository").directory
    windows = random_windows([60, 3, 25])
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        packed = load(version)(*windows)
    for got, want in zip(packed, reference_logits(reference, *windows), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-4)
    assert manifest_of(version)["weights_sha256"] == verify_weights(sharded, "")


@pytest.mark.parametrize("safe", [False])
def test_a_sharded_checkpoint_is_a_base(sharded: Path, questions: Path, tmp_path: Path) -> None:
    metrics, _ = run(sharded.parent, questions, tmp_path / "run", limit_train=8, epochs=1.0)
    assert metrics["training"]["steps"] == 1
    assert "qa_outputs.weight" in result_weights(tmp_path / "run")


def test_one_file_goes_before_shards(
    checkpoint: Path, tmp_path: Path, reference: BertForQuestionAnswering
) -> None:
    (checkpoint / ("model.safetensors" + INDEX)).write_text("not read", encoding="utf-8")
    assert_weights_are(checkpoint, reference)


def lose_a_shard(index: Path) -> None:
    files_of(index)[1].unlink()


def break_a_shard(index: Path) -> None:
    files_of(index)[1].write_bytes(b"\xff\x00")


def swap_two_shards(index: Path) -> None:
    first, second, *_ = files_of(index)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def forget_the_map(index: Path) -> None:
    index.write_text(json.dumps({"metadata": {}}), encoding="utf-8")


def point_elsewhere(index: Path) -> None:
    edit_json(index, weight_map={"qa_outputs.weight": "../tiny-bert/model.safetensors"})


def point_nowhere(index: Path) -> None:
    edit_json(index, weight_map={"qa_outputs.weight": None})


def cut_the_index(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:40])


@both_forms
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose_a_shard, r"-00002-of-.*: missing; .*index\.json names it, so copy it here"),
        (break_a_shard, r"-00002-of-.*: corrupt"),
        (swap_two_shards, r"-00001-of-.*: lacks .*, which .*index\.json says is there"),
        (forget_the_map, r"index\.json: has no weight_map"),
        (point_elsewhere, "'../tiny-bert/model.safetensors' is not the name of a file beside it"),
        (point_nowhere, "None is not the name of a file"),
        (cut_the_index, r"index\.json: not readable as JSON"),
    ],
)
def test_damaged_shards_are_named(
    sharded: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(sharded)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(sharded.parent)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "module.{}",
        "_orig_mod.{}",
        "module._orig_mod.{}",
        "_orig_mod.module.{}",
        "model.{}",
        "_fsdp_wrapped_module.{}",
    ],
)
def test_names_in_wrappers(
    checkpoint: Path, reference: BertForQuestionAnswering, pattern: str
) -> None:
    file = checkpoint / "model.safetensors"
    save_file({pattern.format(name): t for name, t in load_file(file).items()}, file)
    assert_weights_are(checkpoint, reference)


def test_names_with_a_wrapper_inside(checkpoint: Path, reference: BertForQuestionAnswering) -> None:
    file = checkpoint / "model.safetensors"
    weights = load_file(file).items()
    save_file({k.replace(".layer.1.", ".layer.1._orig_mod."): t for k, t in weights}, file)
    assert_weights_are(checkpoint, reference)


def test_a_base_without_its_prefix_in_a_wrapper(
    checkpoint: Path, reference: BertForQuestionAnswering
) -> None:
    weights = nn.DataParallel(reference.bert).state_dict()
    save_file(weights, checkpoint / "model.safetensors")
    assert "module.embeddings.word_embeddings.weight" in weights
    loaded = load_checkpoint(checkpoint).state_dict
    assert loaded.keys() == {name for name in reference.state_dict() if name.startswith("bert.")}
