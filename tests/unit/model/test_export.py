"""The exporter end to end on a tiny checkpoint."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.fetching import sha256_of
from spanqa_model.errors import CheckpointError, ExportError, ModelError
from spanqa_model.export import STEPS, Exported
from spanqa_model.packed_bert.devices import Device, Dtype
from spanqa_model.packed_bert.parity import WINDOWS, sample_windows
from spanqa_model.repository.configurations import CONFIGURATION_FILES
from spanqa_model.repository.staging import BACKEND
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.exporting import export, load, tiny_source, versions_in
from unit.model.tiny import (
    edit_json,
    random_windows,
    reference_logits,
    reference_model,
)

VARIANTS: list[tuple[Device, Dtype]] = [
    ("cpu", "float32"),
    ("cpu", "bfloat16"),
    ("cpu", "float16"),
    ("cuda", "float16"),
]
# Largest |Δ logit| against the reference; the logits spread over about ±5.
TOLERANCE = {"float32": 1e-4, "float16": 0.05, "bfloat16": 0.5}


@pytest.fixture(scope="module", params=VARIANTS, ids="-".join)
def exported(
    request: pytest.FixtureRequest, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    device, dtype = request.param
    repository = tmp_path_factory.mktemp("repository")
    return export(tiny_source(tiny_checkpoint), repository, device=device, dtype=dtype)


def test_the_version_holds_these_files(exported: Exported) -> None:
    names = {path.name for path in exported.directory.iterdir()}
    assert names == {"model.pt", "tokenizer.json", "model.json", "model.py"}
    assert exported.directory.parts[-2:] == (MODEL_NAME, "1")
    assert (exported.directory / "model.py").read_bytes() == BACKEND.read_bytes()
    assert all((exported.directory.parent / name).is_file() for name in CONFIGURATION_FILES)


def test_the_manifest(
    exported: Exported, tiny_checkpoint: Path, request: pytest.FixtureRequest
) -> None:
    device, dtype = request.node.callspec.params["exported"]
    manifest = json.loads((exported.directory / "model.json").read_text(encoding="utf-8"))
    assert manifest == {
        "name": "tiny",
        "source": tiny_checkpoint.name,
        "revision": "r7",
        "weights_sha256": sha256_of(tiny_checkpoint / "model.safetensors"),
        "model_sha256": sha256_of(exported.directory / "model.pt"),
        "dtype": dtype,
        "device": device,
        "attention": {"cpu": "windowed", "cuda": "grouped"}[device],
        "max_sequence_tokens": 60,
        "doc_stride_tokens": 16,
        "max_position_embeddings": 64,
        "vocab_size": 256,
        "has_no_answer": False,
        "license": "Apache-2.0",
        "exact_match": None,
        "f1": 12.5,
    }


def test_the_reloaded_model_gives_the_references_logits(
    exported: Exported, reference: BertForQuestionAnswering
) -> None:
    windows = random_windows([60, 3, 25, 64])
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        results = load(exported)(*windows)
    for got, want in zip(results, reference_logits(reference, *windows), strict=True):
        assert got.dtype == torch.float32
        assert got.shape == (152,)
        difference = (got - want).abs().max()
        assert difference <= TOLERANCE[exported.dtype]
        assert want.std() > 1, "small logits would hide a difference"


def test_the_head_stays_float32(exported: Exported) -> None:
    dtypes = {name: tensor.dtype for name, tensor in load(exported).named_parameters()}
    head = {dtypes.pop("qa_outputs.weight"), dtypes.pop("qa_outputs.bias")}
    assert head == {torch.float32}
    assert set(dtypes.values()) == {getattr(torch, exported.dtype)}


def test_the_tokenizer_is_the_checkpoints(exported: Exported) -> None:
    tokenizer = Tokenizer.from_file(str(exported.directory / "tokenizer.json"))
    encoding = tokenizer.encode("Who wrote it?", add_special_tokens=False)
    assert encoding.tokens == ["who", "wrote", "it", "?"]


def test_the_parity_report_says_how_far_it_is(
    exported: Exported, reference: BertForQuestionAnswering
) -> None:
    parity = exported.parity
    windows = sample_windows(256, 60)
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        got = torch.stack(load(exported)(*windows))
    difference = (got - torch.stack(reference_logits(reference, *windows))).abs()
    assert parity.max_difference == pytest.approx(difference.max().item(), rel=0.05, abs=1e-4)
    assert parity.mean_difference == pytest.approx(difference.mean().item(), rel=0.05, abs=1e-4)
    assert parity.windows == WINDOWS
    assert 60 < parity.tokens <= 60 * WINDOWS
    assert 0 <= parity.mean_difference <= parity.max_difference <= TOLERANCE[exported.dtype]
    assert (parity.max_difference > 1e-4) == (exported.dtype != "float32")
    assert f"{parity.max_difference:.2e}" in str(parity)


def test_each_step_is_announced(tiny_checkpoint: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    export(tiny_source(tiny_checkpoint), tmp_path, on_step=steps.append)
    assert len(steps) == STEPS
    assert len(set(steps)) == STEPS
    assert str(tiny_checkpoint) in steps[0]


def test_versions_are_numbered_or_chosen(tiny_checkpoint: Path, tmp_path: Path) -> None:
    source = tiny_source(tiny_checkpoint)
    assert export(source, tmp_path).version == 1
    assert export(source, tmp_path, version=5).version == 5
    assert export(source, tmp_path).version == 6
    with pytest.raises(ExportError, match="choose another --version"):
        export(source, tmp_path, version=5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_sequence_tokens": 65}, "--max-sequence-tokens 65: the model has 64 positions"),
        ({"max_sequence_tokens": 7}, "--max-sequence-tokens 7"),
        (
            {"doc_stride_tokens": 57},
            r"--doc-stride-tokens 57: .* smaller than 57, the window without",
        ),
        ({"doc_stride_tokens": 0}, "--doc-stride-tokens 0: must be positive"),
        ({"weights_sha256": "ab" * 32}, "expected abab"),
        ({"repository": "no-such-directory"}, "no such directory, nor a hub id"),
    ],
)
def test_refusals_leave_no_version(
    tiny_checkpoint: Path, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    source = replace(tiny_source(tiny_checkpoint), **changes)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=message):
        export(source, tmp_path)
    assert versions_in(tmp_path) == []


def test_limits_at_their_edges_are_accepted(tiny_checkpoint: Path, tmp_path: Path) -> None:
    source = tiny_source(tiny_checkpoint)
    longest = replace(source, max_sequence_tokens=64, doc_stride_tokens=60)
    shortest = replace(source, max_sequence_tokens=8, doc_stride_tokens=4)
    assert export(longest, tmp_path).parity.windows == WINDOWS
    assert export(shortest, tmp_path).parity.tokens == 8 * WINDOWS


def test_a_checkpoint_without_a_head_leaves_no_version(checkpoint: Path, tmp_path: Path) -> None:
    reference_model().bert.save_pretrained(checkpoint)
    with pytest.raises(CheckpointError, match="no question answering head"):
        export(tiny_source(checkpoint), tmp_path / "repository")
    assert versions_in(tmp_path / "repository") == []


def test_a_checkpoint_of_another_shape_leaves_no_version(checkpoint: Path, tmp_path: Path) -> None:
    edit_json(checkpoint / "config.json", intermediate_size=128)
    with pytest.raises(CheckpointError, match=r"do not fit config\.json"):
        export(tiny_source(checkpoint), tmp_path / "repository")
    assert versions_in(tmp_path / "repository") == []
