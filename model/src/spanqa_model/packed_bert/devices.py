"""The devices that a version may be exported for, and the data types of its weights."""

from typing import Literal

import torch

Device = Literal["cpu", "cuda"]
Dtype = Literal["float32", "bfloat16", "float16", "int8"]


def default_device() -> Device:
    """Cuda if this machine has it, otherwise cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def default_dtype(device: Device) -> Dtype:
    """float16 on a GPU; on a CPU bfloat16 if it multiplies that natively, otherwise float32."""
    if device == "cuda":
        return "float16"
    capabilities = torch.cpu.get_capabilities()
    native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bfloat16" if native else "float32"
