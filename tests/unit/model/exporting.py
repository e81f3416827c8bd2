"""Exports of the tiny checkpoint."""

from collections.abc import Callable
from pathlib import Path

import torch

from spanqa_model.checkpoints.presets import Source
from spanqa_model.export import Exported
from spanqa_model.export import export as export_version
from spanqa_model.packed_bert.devices import Device, Dtype
from spanqa_model.packed_bert.forms import Attention
from spanqa_model.packed_bert.parity import CPU
from spanqa_model.packed_bert.torchscript import load_torchscript
from spanqa_model.repository.configurations import CONFIGURATION_FILES
from spanqa_model.repository.versions import MODEL_NAME


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
    version: int | None = None,
    device: Device = "cpu",
    dtype: Dtype = "float32",
    attention: Attention | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Exported:
    return export_version(
        source,
        repository,
        version=version,
        device=device,
        dtype=dtype,
        attention=attention,
        on_step=on_step,
    )


def load(exported: Exported) -> torch.jit.ScriptModule:
    return load_torchscript(exported.directory / "model.pt", CPU)


def versions_in(repository: Path) -> list[str]:
    ours = {Path(name).parts[0] for name in CONFIGURATION_FILES}
    return [p.name for p in (repository / MODEL_NAME).iterdir() if p.name not in ours]
