"""Exports of the tiny checkpoint."""

import json
from pathlib import Path
from typing import Any

import torch

from spanqa_model.checkpoints.presets import Source
from spanqa_model.export import Exported, Target
from spanqa_model.export import export as export_version
from spanqa_model.packed_bert.devices import Device, Dtype
from spanqa_model.packed_bert.forms import Attention
from spanqa_model.packed_bert.parity import CPU
from spanqa_model.packed_bert.torchscript import load_torchscript


def tiny_source(directory: Path) -> Source:
    return Source(
        name="tiny",
        repository=str(directory),
        revision="r7",
        license="Apache-2.0",
        max_sequence_tokens=60,
        doc_stride_tokens=16,
        f1=12.5,
    )


def export(
    source: Source,
    repository: Path,
    *,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    attention: Attention = "windowed",
) -> Exported:
    return export_version(source, repository, Target(dtype, device, attention))


def load(version: Path) -> torch.jit.ScriptModule:
    return load_torchscript(version / "model.pt", CPU)


def manifest_of(version: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((version / "model.json").read_text(encoding="utf-8"))
    return manifest
