"""Merges a PEFT LoRA adapter into the weights that it was trained on."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spanqa_model.checkpoints.adapter import ADAPTER_CONFIG, MERGE, NOT_MERGEABLE
from spanqa_model.checkpoints.config import read_json
from spanqa_model.checkpoints.weights import find_weights, plain_name, read_weights
from spanqa_model.errors import CheckpointError

ADAPTER_FILES = ("adapter_model.safetensors", "adapter_model.bin")
PREFIX = "base_model.model."
# Options of LoRA variants that need another merge, with the only value that is supported.
UNSUPPORTED = {
    "use_dora": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
    "lora_bias": False,
    "layer_replication": [],
    "use_qalora": False,
    "use_bdlora": {},
    "alora_invocation_tokens": [],
    "kasa_config": {},
    "arrow_config": {},
}
# Initializations that keep the base weights; PiSSA, OLoRA, CorDA and LoftQ change them.
WEIGHT_PRESERVING_INITS = (True, False, None, "gaussian", "eva", "orthogonal")


def merge_adapter(state_dict: dict[str, Tensor], directory: Path) -> dict[str, Tensor]:
    """Return a copy of `state_dict` with the adapter in `directory` merged in, in float32.

    W' = W + (alpha / r)·B·A (Hu et al., "LoRA", 2021, section 4.1), with alpha / √r where the
    adapter uses `use_rslora`. Modules that the adapter saved as a whole replace those of the base.

    Raises:
        CheckpointError: this is not a LoRA adapter, it uses an unsupported variant, or it was made
            for other weights.
    """
    scale = check_variant(read_json(directory / ADAPTER_CONFIG), directory)
    adapter = read_adapter(directory)
    merged = dict(state_dict)
    for name, tensor in adapter.items():
        if name.endswith(".lora_B.weight"):
            continue
        if name.endswith(".lora_A.weight"):
            target = name.replace(".lora_A.weight", ".weight")
            up = adapter.get(name.replace(".lora_A.", ".lora_B."))
            if up is None or up.shape[1:] != tensor.shape[:1]:
                raise CheckpointError(f"{directory}: corrupt (lora_A and lora_B of {target})")
            merged[target] = merged_weight(merged, target, scale * (up @ tensor), directory)
        else:
            merged[name] = tensor
    return merged


def merged_weight(weights: dict[str, Tensor], name: str, delta: Tensor, directory: Path) -> Tensor:
    if name not in weights or weights[name].shape != delta.shape:
        raise CheckpointError(f"{directory}: made for another base model ({name} does not fit)")
    return weights[name].to(torch.float32) + delta


def check_variant(config: dict[str, Any], directory: Path) -> float:
    """The scale of the matrices' product, if the adapter is of the kind that is merged here."""
    kind = config.get("peft_type")
    if kind != "LORA":
        if str(kind).startswith(NOT_MERGEABLE):
            raise CheckpointError(
                f"{directory}: peft_type is {kind!r}, which cannot be merged into a BERT; train a "
                "LoRA adapter: spanqa-model finetune --lora"
            )
        raise CheckpointError(f"{directory}: peft_type is {kind!r}, not 'LORA'; {MERGE}")
    for key, supported in UNSUPPORTED.items():
        if (config.get(key) or supported) != supported:
            raise CheckpointError(f"{directory}: {key}={config[key]!r} is not supported; {MERGE}")
    if config.get("init_lora_weights") not in WEIGHT_PRESERVING_INITS:
        raise CheckpointError(
            f"{directory}: init_lora_weights={config['init_lora_weights']!r} changed the base "
            f"model; {MERGE}"
        )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise CheckpointError(f"{directory}/{ADAPTER_CONFIG}: r or lora_alpha is not a number")
    return float(alpha / (rank**0.5 if config.get("use_rslora") else rank))


def read_adapter(directory: Path) -> dict[str, Tensor]:
    """The adapter's tensors, float32, with the names that they have in the base."""
    adapter: dict[str, Tensor] = {}
    for name, tensor in read_weights(find_weights(directory, ADAPTER_FILES)).items():
        name = name.removeprefix(PREFIX)
        if re.search("lora_(?!A.weight|B.weight)", name):
            what = "of an embedding " if "lora_embedding" in name else ""
            raise CheckpointError(
                f"{directory}: matrices {what}({name}) are not supported; {MERGE}"
            )
        name = plain_name(name.replace(".modules_to_save.default", ""))
        if not name.startswith(("bert.pooler.", "pooler.")):  # which answers do not depend on
            adapter[name] = tensor.float()
    return adapter
