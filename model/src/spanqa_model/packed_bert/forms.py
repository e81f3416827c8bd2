"""The forms of attention that a version can be exported with."""

from dataclasses import dataclass
from typing import Literal

import torch

from spanqa_model.errors import ExportError
from spanqa_model.packed_bert.attention import (
    GroupedSelfAttention,
    SelfAttention,
    WindowedSelfAttention,
)
from spanqa_model.packed_bert.grouping import GroupedPlanner
from spanqa_model.packed_bert.plan import Planner, WindowedPlanner
from spanqa_model.packed_bert.ragged import EfficientSelfAttention, FlashSelfAttention

Attention = Literal["windowed", "grouped", "flash", "efficient"]


@dataclass(frozen=True, slots=True)
class Form:
    """The attention module of each layer, the planner that they share, and the allowed dtypes."""

    attention: type[SelfAttention]
    planner: type[Planner]
    ragged: bool = False
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16")


FORMS: dict[str, Form] = {
    "windowed": Form(WindowedSelfAttention, WindowedPlanner),
    "grouped": Form(GroupedSelfAttention, GroupedPlanner),
    "flash": Form(FlashSelfAttention, WindowedPlanner, True, ("bfloat16", "float16")),
    "efficient": Form(EfficientSelfAttention, WindowedPlanner, True),
}


def default_attention(device: str) -> Attention:
    """The form that runs on every device of this kind: "grouped" on GPUs, "windowed" on CPUs."""
    return "grouped" if device == "cuda" else "windowed"


def check_form(attention: Attention, device: str, dtype: str) -> None:
    """Refuse a form that cannot run with this device and dtype.

    Raises:
        ExportError: names the reason and the remedy.
    """
    if dtype == "int8" and (device, attention) != ("cpu", "windowed"):
        raise ExportError(
            "--dtype int8 is for --device cpu and --attention windowed; on cuda use --dtype float16"
        )
    form = FORMS[attention]
    if not form.ragged:
        return
    reason = ""
    if device != "cuda":
        reason = f"this kernel is for CUDA, but --device is {device}"
    elif dtype not in form.dtypes:
        reason = f"this kernel computes in {' or '.join(form.dtypes)}, but --dtype is {dtype}"
    elif not torch.cuda.is_available():
        reason = "the export has to run this kernel, but there is no CUDA device here"
    if reason:
        remedy = default_attention(device)
        raise ExportError(f"--attention {attention}: {reason}; use --attention {remedy}")
