"""The devices that a version may be exported for, and the data types of its weights."""

from pathlib import Path
from typing import Literal

import torch

Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16", "int8"]
PROCESSORS = Path("/proc/cpuinfo")


def default_device() -> Device:
    """Cuda if this machine has it, otherwise cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def default_dtype(device: Device) -> Dtype:
    """float16 on a GPU; on a CPU bfloat16 if it multiplies that natively, otherwise float32."""
    if device == "cuda":
        return "float16"
    return "bfloat16" if "bfloat16" in native_dtypes() else "float32"


def native_dtypes() -> list[Dtype]:
    """What this CPU multiplies with instructions of its own."""
    capabilities = torch.cpu.get_capabilities()
    native: list[Dtype] = ["float32"]
    if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"):
        native.append("bfloat16")
    if capabilities.get("avx512_vnni") or capabilities.get("amx_int8"):
        native.append("int8")
    return native


def multiplies_in_tiles() -> bool:
    """Whether this CPU multiplies bfloat16 in tiles (AMX)."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def has_slow_mkl() -> bool:
    """Whether MKL, which torch multiplies float32 with, has only its slower kernels for this CPU.

    That is so on CPUs of AMD.
    """
    known = torch.backends.mkl.is_available() and PROCESSORS.exists()
    return known and "AuthenticAMD" in PROCESSORS.read_text()
