"""How an export chooses its form of attention, tries it, and refuses what would not do."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from spanqa_model.cli.app import app
from spanqa_model.errors import ExportError
from spanqa_model.packed_bert.devices import Device, Dtype
from spanqa_model.packed_bert.forms import FORMS, Attention, Form
from spanqa_model.packed_bert.plan import Group, Plan, WindowedPlanner
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.exporting import export, load, tiny_source, versions_in


def test_another_form_of_attention_can_be_chosen(tiny_checkpoint: Path, tmp_path: Path) -> None:
    source = tiny_source(tiny_checkpoint)
    files = []
    for attention in ("windowed", "grouped"):
        exported = export(source, tmp_path, attention=attention)
        manifest = json.loads((exported.directory / "model.json").read_text(encoding="utf-8"))
        assert manifest["attention"] == attention
        assert exported.parity.max_difference < 1e-4
        files.append(str(load(exported).inlined_graph))
    assert ["scaled_dot_product_attention" in graph for graph in files] == [False, True]


def test_the_command_passes_the_form_on(tiny_checkpoint: Path, tmp_path: Path) -> None:
    limits = ["--max-sequence-tokens", "48", "--doc-stride-tokens", "16"]
    arguments = ["export", "--checkpoint", str(tiny_checkpoint), "--repository", str(tmp_path)]
    chosen = ["--device", "cpu", "--dtype", "float32", "--attention", "grouped"]
    done = CliRunner().invoke(app, [*arguments, *limits, *chosen])
    assert done.exit_code == 0, done.output
    manifest = json.loads((tmp_path / MODEL_NAME / "1" / "model.json").read_bytes())
    assert manifest["attention"] == "grouped"


@pytest.mark.parametrize(
    ("attention", "device", "dtype", "gpu", "message"),
    [
        (
            "flash",
            "cpu",
            "float16",
            True,
            "for CUDA, but --device is cpu; use --attention windowed",
        ),
        ("efficient", "cpu", "float32", True, "this kernel is for CUDA, but --device is cpu"),
        ("flash", "cuda", "float32", True, "computes in bfloat16 or float16, but --dtype is"),
        ("flash", "cuda", "float16", False, "no CUDA device here; use --attention grouped"),
        ("efficient", "cuda", "float32", False, "no CUDA device here; use --attention grouped"),
    ],
)
def test_ragged_kernels_are_refused_where_they_cannot_be_tried(
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    attention: Attention,
    device: Device,
    dtype: Dtype,
    gpu: bool,
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    with pytest.raises(ExportError, match=f"--attention {attention}: .*{message}"):
        export(
            tiny_source(tiny_checkpoint), tmp_path, device=device, dtype=dtype, attention=attention
        )
    assert list(tmp_path.iterdir()) == []


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
        return Plan(positions, lengths, groups, positions, positions, 0)


def test_a_file_that_would_wait_for_a_gpu_leaves_no_version(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = Form(FORMS["windowed"].attention, WaitingPlanner)
    monkeypatch.setitem(FORMS, "grouped", waiting)
    source = tiny_source(tiny_checkpoint)
    with pytest.raises(ExportError, match=r"aten::Int in a loop.* aten::item 3 times.*at most 2"):
        export(source, tmp_path, device="cuda")
    assert versions_in(tmp_path) == []
    assert export(source, tmp_path, device="cpu", attention="grouped").version == 1
