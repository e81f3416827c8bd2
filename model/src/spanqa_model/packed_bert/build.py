"""Builds the packed module from the weights of a checkpoint."""

import torch
from torch import Tensor

from spanqa_model.checkpoints.config import BertConfig
from spanqa_model.errors import CheckpointError
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering


def build_module(
    config: BertConfig, state_dict: dict[str, Tensor], *, attention: str = "windowed"
) -> PackedBertForQuestionAnswering:
    """Build the packed module with these weights, float32 and in evaluation mode.

    `state_dict` may come from another packed module; the two then share their weights.

    Raises:
        CheckpointError: weights are missing, unexpected, or of the wrong shape.
    """
    with torch.device("meta"):
        module = PackedBertForQuestionAnswering(config, attention)
    fused = fuse_query_key_value(state_dict)
    try:
        module.load_state_dict({k: v.float() for k, v in fused.items()}, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        if "qa_outputs.weight" not in fused:
            reason = "no question answering head (qa_outputs): fine-tune it or add its --adapter"
        raise CheckpointError(f"the weights do not fit config.json: {reason[:400]}") from None
    module.requires_grad_(False)
    return module.eval()


def fuse_query_key_value(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Concatenate the query, key and value of each layer into one `attention.self.qkv`."""
    fused = dict(state_dict)
    for name in state_dict:
        if ".attention.self.query." in name:
            parts = [name.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
            if all(part in fused for part in parts):
                fused[name.replace(".query.", ".qkv.")] = torch.cat(
                    [fused.pop(part).float() for part in parts]
                )
    return fused
