"""Merges a PEFT LoRA adapter into the weights that it was trained on."""

from pathlib import Path

import torch
from torch import Tensor

from spanqa_model.checkpoints.config import read_json
from spanqa_model.checkpoints.reader import find_weights, read_weights
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
    config = read_json(directory / "adapter_config.json")
    if config.get("peft_type") != "LORA":
        raise CheckpointError(f"{directory}: peft_type is {config.get('peft_type')!r}, not 'LORA'")
    for key, supported in UNSUPPORTED.items():
        if (config.get(key) or supported) != supported:
            raise CheckpointError(f"{directory}: {key}={config[key]!r} is not supported")
    if config.get("init_lora_weights") not in WEIGHT_PRESERVING_INITS:
        raise CheckpointError(
            f"{directory}: init_lora_weights={config['init_lora_weights']!r} changed the base "
            "model; merge it with PEFT and export the result as --checkpoint"
        )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise CheckpointError(f"{directory}/adapter_config.json: r or lora_alpha is not a number")
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    adapter = {
        name.removeprefix(PREFIX): tensor.float()
        for name, tensor in read_weights(find_weights(directory, ADAPTER_FILES)).items()
    }
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
            merged[name.replace(".modules_to_save.default", "")] = tensor
    return merged


def merged_weight(weights: dict[str, Tensor], name: str, delta: Tensor, directory: Path) -> Tensor:
    if name not in weights or weights[name].shape != delta.shape:
        raise CheckpointError(f"{directory}: made for another base model ({name} does not fit)")
    return weights[name].to(torch.float32) + delta
