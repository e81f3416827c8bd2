"""The exporter end to end on a tiny checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.fetching import sha256_of
from spanqa_model.errors import ExportError, ModelError
from spanqa_model.export import Exported, Target
from spanqa_model.export import export as export_version
from spanqa_model.figures import Figures
from spanqa_model.packed_bert.devices import Device, Dtype
from spanqa_model.packed_bert.forms import FORMS, Attention, Form
from spanqa_model.packed_bert.int8 import engine_for
from spanqa_model.packed_bert.parity import WINDOWS, sample_windows
from spanqa_model.packed_bert.plan import Group, Plan, WindowedPlanner
from spanqa_model.packed_bert.torchscript import DTYPES
from spanqa_model.repository.configurations import CONFIGURATION_FILES
from spanqa_model.repository.staging import BACKEND
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.exporting import export, load, manifest_of, tiny_source
from unit.model.repository.version_files import versions_in
from unit.model.tiny import random_windows, reference_logits

VARIANTS: list[tuple[Dtype, Device, Attention]] = [
    ("float32", "cpu", "windowed"),
    ("bfloat16", "cpu", "windowed"),
    ("float16", "cpu", "windowed"),
    ("int8", "cpu", "windowed"),
    ("float16", "cuda", "grouped"),
]
# Largest |Δ logit| against the reference; the logits spread over about ±5.
TOLERANCE = {"float32": 1e-4, "float16": 0.05, "bfloat16": 0.5, "int8": 1.0}


@pytest.fixture(scope="module", params=VARIANTS, ids="-".join)
def exported(
    request: pytest.FixtureRequest, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    dtype, device, attention = request.param
    repository = tmp_path_factory.mktemp("repository")
    source = tiny_source(tiny_checkpoint)
    return export(source, repository, dtype=dtype, device=device, attention=attention)


def logits(module: torch.nn.Module, windows: tuple[Tensor, ...]) -> Tensor:
    with torch.inference_mode(), torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        return torch.stack(module(*windows))


def test_the_version_holds_these_files(exported: Exported) -> None:
    names = {path.name for path in exported.directory.iterdir()}
    assert names == {"model.pt", "tokenizer.json", "model.json", "model.py", "__pycache__"}
    assert exported.directory.parts[-2:] == (MODEL_NAME, "1")
    assert (exported.directory / "model.py").read_bytes() == BACKEND.read_bytes()
    assert all((exported.directory.parent / name).is_file() for name in CONFIGURATION_FILES)
    tokenizer = Tokenizer.from_file(str(exported.directory / "tokenizer.json"))
    encoding = tokenizer.encode("Who wrote it?", add_special_tokens=False)
    assert encoding.tokens == ["who", "wrote", "it", "?"]


def test_the_manifest(
    exported: Exported, tiny_checkpoint: Path, request: pytest.FixtureRequest
) -> None:
    dtype, device, attention = request.node.callspec.params["exported"]
    assert manifest_of(exported.directory) == {
        "name": "tiny",
        "source": tiny_checkpoint.name,
        "revision": "r7",
        "weights_sha256": sha256_of(tiny_checkpoint / "model.safetensors"),
        "model_sha256": sha256_of(exported.directory / "model.pt"),
        "dtype": dtype,
        "device": device,
        "attention": attention,
        "max_sequence_tokens": 60,
        "doc_stride_tokens": 16,
        "max_position_embeddings": 64,
        "vocab_size": 256,
        "has_no_answer": False,
        "license": "Apache-2.0",
        "exact_match": None,
        "f1": None if dtype == "int8" else 12.5,
    } | ({"quantized_engine": engine_for(32)} if dtype == "int8" else {})


def test_the_reloaded_model_gives_the_references_logits_as_float32(
    exported: Exported, reference: BertForQuestionAnswering
) -> None:
    dtype = manifest_of(exported.directory)["dtype"]
    module, windows = load(exported.directory), random_windows([60, 3, 25, 64])
    got, want = logits(module, windows), torch.stack(reference_logits(reference, *windows))
    assert (got.dtype, got.shape) == (torch.float32, (2, 152))
    assert (got - want).abs().max() <= TOLERANCE[dtype]
    assert want.std() > 1, "small logits would hide a difference"
    types = {name: tensor.dtype for name, tensor in module.named_parameters()}
    assert {types.pop("qa_outputs.weight"), types.pop("qa_outputs.bias")} == {torch.float32}
    assert set(types.values()) == {DTYPES[dtype]}


def test_the_parity_report_says_how_far_it_is(
    exported: Exported, reference: BertForQuestionAnswering
) -> None:
    parity, dtype = exported.parity, manifest_of(exported.directory)["dtype"]
    windows = sample_windows(256, 60)
    got = logits(load(exported.directory), windows)
    difference = (got - torch.stack(reference_logits(reference, *windows))).abs()
    assert parity.max_difference == pytest.approx(difference.max().item(), rel=0.05, abs=1e-4)
    assert parity.mean_difference == pytest.approx(difference.mean().item(), rel=0.05, abs=1e-4)
    assert parity.windows == WINDOWS
    assert 60 < parity.tokens <= 60 * WINDOWS
    assert (parity.max_difference > 1e-4) == (dtype != "float32")
    assert f"{parity.max_difference:.2e}" in str(parity)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_sequence_tokens": 65}, "--max-sequence-tokens 65: the model has 64 positions"),
        ({"max_sequence_tokens": 7}, "--max-sequence-tokens 7"),
        ({"doc_stride_tokens": 57}, "--doc-stride-tokens 57: .* than 57, the window without"),
        ({"doc_stride_tokens": 0}, "--doc-stride-tokens 0: must be positive"),
        ({"weights_sha256": "ab" * 32}, "expected abab"),
        ({"repository": "no-such-directory"}, "no such directory, nor a hub id"),
    ],
)
def test_refusals_leave_no_version(
    tiny_checkpoint: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        export(replace(tiny_source(tiny_checkpoint), **changes), tmp_path)
    assert versions_in(tmp_path) == set()


@pytest.mark.parametrize(("longest", "stride"), [(64, 60), (8, 4)])
def test_limits_at_their_edges_are_accepted(
    tiny_checkpoint: Path, tmp_path: Path, longest: int, stride: int
) -> None:
    source = tiny_source(tiny_checkpoint)
    source = replace(source, max_sequence_tokens=longest, doc_stride_tokens=stride)
    assert 8 * WINDOWS <= export(source, tmp_path).parity.tokens <= longest * WINDOWS


class WaitingPlanner(WindowedPlanner):
    """Asks the device three times more than it has to."""

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor,
        window_lengths: Tensor,
        dtype: torch.dtype,
    ) -> Plan:
        positions = input_ids.long() * 0
        for _ in range(3):
            positions = positions + int(window_lengths.min()) * 0
        groups: list[Group] = []
        lengths: list[int] = window_lengths.tolist()
        return Plan(positions, lengths, positions, groups, positions)


def test_a_file_that_would_wait_for_a_gpu_leaves_no_version(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Form(FORMS["windowed"].attention, WaitingPlanner)
    monkeypatch.setitem(FORMS, "grouped", waiting)
    source = tiny_source(tiny_checkpoint)
    with pytest.raises(ExportError, match=r"aten::Int in a loop.* aten::item 3 times.*at most 2"):
        export(source, tmp_path, device="cuda", attention="grouped")
    assert versions_in(tmp_path) == set()
    assert export(source, tmp_path, device="cpu", attention="grouped").version == 1


@pytest.mark.parametrize(
    ("rates", "chosen"),
    [
        ({"float32": 1.0, "bfloat16": 2.0, "int8": 3.0}, "bfloat16"),
        ({"float32": 2.0, "bfloat16": 1.0, "int8": 3.0}, "float32"),
        ({"float32": 1.0, "int8": 2.0}, "float32"),
    ],
)
def test_the_fastest_dtype_is_chosen_and_written_down(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rates: dict[Dtype, float],
    chosen: Dtype,
) -> None:
    monkeypatch.setattr("spanqa_model.export.measure_rates", lambda *_: rates)
    target = Target("float32", "cpu", "windowed")
    made = export_version(tiny_source(tiny_checkpoint), tmp_path, target, choose_dtype=True)
    assert (made.target.dtype, made.rates) == (chosen, rates)
    assert manifest_of(made.directory)["dtype"] == chosen


def test_a_version_in_int8_has_the_figures_of_int8(tiny_checkpoint: Path, tmp_path: Path) -> None:
    source = replace(tiny_source(tiny_checkpoint), in_int8=Figures(12, 12.4))
    made = export(source, tmp_path, dtype="int8")
    assert manifest_of(made.directory)["f1"] == 12.4
