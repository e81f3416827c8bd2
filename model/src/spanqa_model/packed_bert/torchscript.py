"""The packed module as TorchScript, the form that Triton loads."""

import copy
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from spanqa_model.packed_bert.attention import WindowedSelfAttention
from spanqa_model.packed_bert.devices import has_slow_mkl, multiplies_in_tiles, native_dtypes
from spanqa_model.packed_bert.int8 import Int8Linear, RowByRowLinear, WindowByWindowEncoder
from spanqa_model.packed_bert.model import BertEncoder, PackedBertForQuestionAnswering
from spanqa_model.packed_bert.onednn import LONGEST_UNCUT_SUM, SMALLEST_PART, OneDnnLinear

# Of the weights outside the encoder's linear layers, and of all that is not a linear layer.
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.float32,
}


# Rows of linear layers come in multiples of this. In float32 a program is made in a fraction of the
# time of a batch, so more rows would cost more than more programs.
SMALLEST_STEP, NUMBERS_IN_FLOAT32 = 16, 32


def to_torchscript(
    module: PackedBertForQuestionAnswering, dtype: str, *, onednn: bool = False
) -> torch.jit.ScriptModule:
    """Script a copy of the module with its weights in `dtype`.

    With `onednn`, it is for a CPU only: the linear layers use oneDNN once the script has been saved
    and loaded. "int8" is for a CPU in any case.
    """
    converted = copy.deepcopy(module).to(DTYPES[dtype])
    # A bfloat16 logit near 8 has steps of 1/32, so spans would tie. A float32 head costs nothing.
    converted.qa_outputs.float()
    if dtype == "int8":
        with torchscript_deprecation_accepted():
            encoder = WindowByWindowEncoder(converted.bert.encoder)
            replace_linear_layers(encoder, Int8Linear)
        converted.bert.add_module("encoder", encoder)
        converted.add_module("qa_outputs", RowByRowLinear(converted.qa_outputs))
    elif onednn:
        replace_linear_layers(converted.bert.encoder, OneDnnLinear)
    windowed = [part for part in converted.modules() if isinstance(part, WindowedSelfAttention)]
    for part in windowed:
        part.on_cpu = onednn or dtype == "int8"
        part.in_bfloat16 = dtype == "int8" and "bfloat16" in native_dtypes()
        part.in_tiles = part.in_bfloat16 and multiplies_in_tiles()
        in_float32 = DTYPES[dtype] == torch.float32 and not part.in_bfloat16
        part.by_convolution = part.on_cpu and in_float32 and has_slow_mkl()
    if onednn and windowed and dtype != "int8":
        converted.bert.encoder.step = SMALLEST_STEP
        if dtype == "float32":
            converted.bert.encoder.numbers = NUMBERS_IN_FLOAT32
        if dtype == "bfloat16" and multiplies_in_tiles():
            compute_in_tiles(converted.bert.encoder)
    with torchscript_deprecation_accepted():
        scripted: torch.jit.ScriptModule = torch.jit.script(converted)
    return scripted


def compute_in_tiles(encoder: BertEncoder) -> None:
    """Have an encoder compute as is best with AMX."""
    layers = [part for part in encoder.modules() if isinstance(part, OneDnnLinear)]
    for part in encoder.modules():
        if isinstance(part, WindowedSelfAttention):
            part.in_tiles = True
    # In wide models, where nearly all layers have long sums, parts would cost an eighth.
    if min(layer.weight.size(1) for layer in layers) <= LONGEST_UNCUT_SUM:
        encoder.step = SMALLEST_PART
        for layer in layers:
            layer.in_parts = layer.weight.size(1) > LONGEST_UNCUT_SUM


def replace_linear_layers(encoder: nn.Module, layer: type[OneDnnLinear] | type[Int8Linear]) -> None:
    """Replace the linear layers of the encoder, in place, each with the GELU that follows it."""
    for part in list(encoder.modules()):
        children = dict(part.named_children())
        gelu = next((one.approximate for one in children.values() if isinstance(one, nn.GELU)), "")
        for name, child in children.items():
            if isinstance(child, nn.Linear):
                setattr(part, name, layer(child, gelu))
            elif isinstance(child, nn.GELU):
                setattr(part, name, nn.Identity())


def load_torchscript(file: Path, device: torch.device) -> torch.jit.ScriptModule:
    """Load a saved module onto a device, as Triton's backend does."""
    with torchscript_deprecation_accepted():
        module: torch.jit.ScriptModule = torch.jit.load(str(file), map_location=device)
    return module.eval()


def saved_and_loaded(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """The module as a file gives it back, with its weights laid out for this machine."""
    buffer = io.BytesIO()
    with torchscript_deprecation_accepted():
        torch.jit.save(module, buffer)
        buffer.seek(0)
        loaded: torch.jit.ScriptModule = torch.jit.load(buffer)
    return loaded.eval()


@contextmanager
def torchscript_deprecation_accepted() -> Iterator[None]:
    """Silence the deprecation warnings of `torch.jit`, and of quantized weights."""
    # Triton cannot batch the successor (PT2 archives) yet, so TorchScript stays. The successor of
    # the quantized linear layer (`onednn.qlinear_pointwise`) is slower for windows of all lengths.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor.*deprecated.*")
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*deprecated.*")
        yield
