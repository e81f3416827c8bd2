"""The model to train: the base with its head, and LoRA adapters on it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, BertForQuestionAnswering

from spanqa_model.errors import CheckpointError

LORA_TARGETS = ["query", "key", "value", "dense"]
LORA_WHOLE = ["qa_outputs", "LayerNorm"]


class Float32Head(nn.Linear):
    """The last layer, in float32 even under autocast, because bfloat16 logits are too coarse."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return functional.linear(input.float(), self.weight, self.bias)


def build_model(
    directory: Path,
    weights: Mapping[str, Tensor],
    *,
    seed: int,
    dropout: float | None = None,
    device: str,
) -> BertForQuestionAnswering:
    """Build a `BertForQuestionAnswering` in float32 on `device`.

    Args:
        directory: the checkpoint, with its config.json.
        weights: the weights of the model; without `qa_outputs.…` the head is new.
        seed: the seed of a new head.
        dropout: the dropout probability; None means that of config.json.
        device: "cpu" or "cuda".

    Raises:
        CheckpointError: the weights do not fit config.json.
    """
    changes: dict[str, Any] = {"num_labels": 2}
    if dropout is not None:
        changes |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    # On CPUs torch's fused attention in bfloat16 takes 1.6 times as long as the eager one.
    attention = "eager" if device == "cpu" else "sdpa"
    config = BertConfig.from_pretrained(directory, attn_implementation=attention, **changes)
    torch.manual_seed(seed)
    model = BertForQuestionAnswering(config)
    model.qa_outputs = with_float32_output(model.qa_outputs)
    try:
        missing = model.load_state_dict(weights, strict=False).missing_keys
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{directory}: the weights do not fit: {reason[:400]}") from None
    lost = [name for name in missing if not name.startswith("qa_outputs.")]
    if lost:
        raise CheckpointError(f"{directory}: the weights lack {lost[0]}")
    model.name_or_path = str(directory)
    return model.to(device)


def with_float32_output(head: nn.Linear) -> Float32Head:
    replaced = Float32Head(head.in_features, head.out_features)
    replaced.load_state_dict(head.state_dict())
    return replaced


def add_lora(
    model: BertForQuestionAnswering, *, rank: int, alpha: float, bfloat16: bool
) -> nn.Module:
    """Freeze the model, in bfloat16 if `bfloat16`, and add trainable LoRA matrices.

    The LayerNorms and the head are trained too. All that is trained is float32.
    """
    # Without task_type: PEFT's question answering wrapper drops token_type_ids.
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        target_modules=LORA_TARGETS,
        modules_to_save=LORA_WHOLE,
    )
    adapted: nn.Module = get_peft_model(model, config)
    if bfloat16:
        for parameter in adapted.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
    return adapted
