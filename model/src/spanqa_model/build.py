"""From a checkpoint's weights to the packed module, and from that to TorchScript."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from spanqa_model.bert import BertConfig, PackedBertForQuestionAnswering
from spanqa_model.errors import CheckpointError
from spanqa_model.onednn import use_onednn

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def build_module(
    config: BertConfig, state_dict: dict[str, Tensor], *, attention: str = "windowed"
) -> PackedBertForQuestionAnswering:
    """The packed module with these weights, float32, in evaluation mode.

    `state_dict` may be a packed module's own: the two then share their weights.

    Raises:
        CheckpointError: weights are missing, left over, or of another shape.
    """
    with torch.device("meta"):
        module = PackedBertForQuestionAnswering(config, attention)
    fused = fuse_query_key_value(state_dict)
    try:
        module.load_state_dict({k: v.float() for k, v in fused.items()}, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        if "qa_outputs.weight" not in fused:
            reason = "no question answering head (qa_outputs): not fine-tuned, or adapter missing"
        raise CheckpointError(f"the weights do not fit config.json: {reason[:400]}") from None
    module.requires_grad_(False)
    return module.eval()


def fuse_query_key_value(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """One `attention.self.qkv` for each layer's query, key and value, in this order."""
    fused = dict(state_dict)
    for name in state_dict:
        if ".attention.self.query." in name:
            parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
            if all(part in fused for part in parts):
                fused[name.replace(".query.", ".qkv.")] = torch.cat(
                    [fused.pop(part).float() for part in parts]
                )
    return fused


def to_torchscript(
    module: PackedBertForQuestionAnswering, dtype: str, *, onednn: bool = False
) -> torch.jit.ScriptModule:
    """Script the module with its weights in `dtype`; the module itself is left alone.

    With `onednn` the linear layers run on oneDNN once the script is saved and loaded on a CPU.
    """
    converted = copy.deepcopy(module).to(DTYPES[dtype])
    # A bfloat16 logit near 8 comes in steps of 1/32: spans would tie. The head costs nothing.
    converted.qa_outputs.float()
    if onednn:
        use_onednn(converted)
    with torchscript_deprecation_accepted():
        scripted: torch.jit.ScriptModule = torch.jit.script(converted)
    return scripted


def load_torchscript(file: Path, device: torch.device) -> torch.jit.ScriptModule:
    """A saved module as a backend has it after loading."""
    with torchscript_deprecation_accepted():
        module: torch.jit.ScriptModule = torch.jit.load(str(file), map_location=device)
    return module.eval()


@contextmanager
def torchscript_deprecation_accepted() -> Iterator[None]:
    # Triton's PT2 path cannot batch yet: TorchScript stays, and this is the one place.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*deprecated.*")
        yield
