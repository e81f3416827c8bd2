"""The device, dtype and form of attention that an export chooses, and those that it refuses."""

from pathlib import Path

import pytest
import torch

from spanqa_model.errors import ExportError
from spanqa_model.packed_bert import devices
from spanqa_model.packed_bert.devices import (
    Device,
    Dtype,
    default_device,
    default_dtype,
    has_slow_mkl,
)
from spanqa_model.packed_bert.forms import Attention, check_form, default_attention


def test_defaults_follow_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert default_device() == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_device() == "cpu"
    assert default_dtype("cuda") == "float16"
    assert [default_attention(device) for device in ("cpu", "cuda")] == ["windowed", "grouped"]
    for capabilities, expected in (
        ({"avx512_bf16": True, "amx_bf16": False}, "bfloat16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
        ({"avx512_bf16": False}, "float32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert default_dtype("cpu") == expected


@pytest.mark.parametrize(
    ("mkl", "vendor", "slow"),
    [
        (True, "AuthenticAMD", True),
        (True, "GenuineIntel", False),
        (False, "AuthenticAMD", False),
        (True, None, False),
    ],
)
def test_mkl_is_slow_on_cpus_of_amd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mkl: bool, vendor: str | None, slow: bool
) -> None:
    processors = tmp_path / "cpuinfo"
    if vendor:
        processors.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(devices, "PROCESSORS", processors)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    assert has_slow_mkl() == slow


@pytest.mark.parametrize(
    ("attention", "device", "dtype", "gpu", "message"),
    [
        ("flash", "cpu", "float16", True, "for CUDA, but --device is cpu; use --attention window"),
        ("efficient", "cpu", "float32", True, "this kernel is for CUDA, but --device is cpu"),
        ("flash", "cuda", "float32", True, "computes in bfloat16 or float16, but --dtype is"),
        ("flash", "cuda", "float16", False, "no CUDA device here; use --attention grouped"),
        ("efficient", "cuda", "float32", False, "no CUDA device here; use --attention grouped"),
    ],
)
def test_ragged_kernels_are_refused_where_they_cannot_be_tried(
    monkeypatch: pytest.MonkeyPatch,
    attention: Attention,
    device: Device,
    dtype: Dtype,
    gpu: bool,
    message: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    with pytest.raises(ExportError, match=f"--attention {attention}: .*{message}"):
        check_form(attention, device, dtype)


@pytest.mark.parametrize(("device", "attention"), [("cuda", "grouped"), ("cpu", "grouped")])
def test_int8_is_refused_where_it_has_no_kernels(device: Device, attention: Attention) -> None:
    check_form("windowed", "cpu", "int8")
    with pytest.raises(ExportError, match="--dtype int8 is for --device cpu and --attention win"):
        check_form(attention, device, "int8")
