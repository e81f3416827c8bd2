"""The packed module as TorchScript, the form that Triton loads."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering
from spanqa_model.packed_bert.onednn import use_onednn

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def to_torchscript(
    module: PackedBertForQuestionAnswering, dtype: str, *, onednn: bool = False
) -> torch.jit.ScriptModule:
    """Script a copy of the module with its weights in `dtype`.

    With `onednn`, the linear layers use oneDNN once the script has been saved and loaded on a CPU.
    """
    converted = copy.deepcopy(module).to(DTYPES[dtype])
    # A bfloat16 logit near 8 has steps of 1/32, so spans would tie. A float32 head costs nothing.
    converted.qa_outputs.float()
    if onednn:
        use_onednn(converted)
    with torchscript_deprecation_accepted():
        scripted: torch.jit.ScriptModule = torch.jit.script(converted)
    return scripted


def load_torchscript(file: Path, device: torch.device) -> torch.jit.ScriptModule:
    """Load a saved module onto a device, as Triton's backend does."""
    with torchscript_deprecation_accepted():
        module: torch.jit.ScriptModule = torch.jit.load(str(file), map_location=device)
    return module.eval()


@contextmanager
def torchscript_deprecation_accepted() -> Iterator[None]:
    """Silence the deprecation warnings of `torch.jit`."""
    # Triton cannot batch the successor (PT2 archives) yet, so TorchScript stays.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*deprecated.*")
        yield
