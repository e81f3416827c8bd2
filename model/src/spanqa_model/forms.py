"""The forms of attention that a version may be exported with."""

from dataclasses import dataclass
from typing import Literal

import torch

from spanqa_model.attention import GroupedSelfAttention, SelfAttention, WindowedSelfAttention
from spanqa_model.errors import ExportError
from spanqa_model.grouping import GroupedPlanner
from spanqa_model.plan import Planner, WindowedPlanner
from spanqa_model.ragged import EfficientSelfAttention, FlashSelfAttention, RaggedPlanner

Attention = Literal["windowed", "grouped", "flash", "efficient"]


@dataclass(frozen=True, slots=True)
class Form:
    """The module of every layer, what it shares with the others, and dtypes if not all do."""

    attention: type[SelfAttention]
    planner: type[Planner]
    ragged: bool = False
    dtypes: tuple[str, ...] = ("float32", "bfloat16", "float16")


FORMS: dict[str, Form] = {
    "windowed": Form(WindowedSelfAttention, WindowedPlanner),
    "grouped": Form(GroupedSelfAttention, GroupedPlanner),
    "flash": Form(FlashSelfAttention, RaggedPlanner, True, ("bfloat16", "float16")),
    "efficient": Form(EfficientSelfAttention, RaggedPlanner, True),
}


def default_attention(device: str) -> Attention:
    """What runs anywhere of its kind: window by window on a CPU, grouped on a GPU."""
    return "grouped" if device == "cuda" else "windowed"


def check_form(attention: Attention, device: str, dtype: str) -> None:
    """Refuse what could not run, before anything is computed.

    Raises:
        ExportError: with the reason and the remedy.
    """
    form = FORMS[attention]
    if not form.ragged:
        return
    reason = ""
    if device != "cuda":
        reason = f"it is a kernel for CUDA, and --device is {device}"
    elif dtype not in form.dtypes:
        reason = f"it computes in {' or '.join(form.dtypes)}, and --dtype is {dtype}"
    elif not torch.cuda.is_available():
        reason = "it is tried at the export, and there is no CUDA device here"
    if reason:
        remedy = default_attention(device)
        raise ExportError(f"--attention {attention}: {reason}; use --attention {remedy}")
