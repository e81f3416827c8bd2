"""The packed module, float32, of a version that was exported: trained weights where one has any."""

from __future__ import annotations

from pathlib import Path

import torch

from gpu.options import MissingError
from spanqa_model.bert import GELU_APPROXIMATION, BertConfig, PackedBertForQuestionAnswering
from spanqa_model.build import build_module, torchscript_deprecation_accepted

ACTIVATIONS = {approximation: name for name, approximation in GELU_APPROXIMATION.items()}


def load_trained(version: Path, device: torch.device) -> PackedBertForQuestionAnswering:
    """Its weights as they were rounded at export, in float32, with the attention for GPUs.

    Raises:
        MissingError: there is no such version.
    """
    file = version / "model.pt"
    if not file.is_file():
        raise MissingError(f"--trained {version}: no model.pt there; `make setup` exports one")
    with torchscript_deprecation_accepted():
        scripted = torch.jit.load(str(file), map_location="cpu")
    weights = dict(scripted.state_dict())
    for name, layer in scripted.named_modules():
        if hasattr(layer, "gelu"):  # on oneDNN: no parameters, laid out for it at loading
            weight = layer.weight
            weights[f"{name}.weight"] = weight.to_dense() if weight.is_mkldnn else weight
            weights[f"{name}.bias"] = layer.bias
    layers = list(scripted.bert.encoder.layer.children())
    intermediate = layers[0].intermediate
    fused = getattr(intermediate.dense, "gelu", "")  # its layers have GELU in them
    embeddings = scripted.bert.embeddings
    config = BertConfig(
        vocab_size=len(weights["bert.embeddings.word_embeddings.weight"]),
        hidden_size=weights["qa_outputs.weight"].size(1),
        num_hidden_layers=len(layers),
        num_attention_heads=layers[0].attention.self.num_attention_heads,
        intermediate_size=intermediate.dense.weight.size(0),
        max_position_embeddings=len(weights["bert.embeddings.position_embeddings.weight"]),
        type_vocab_size=len(weights["bert.embeddings.token_type_embeddings.weight"]),
        layer_norm_eps=embeddings.LayerNorm.eps,
        hidden_act=ACTIVATIONS[fused or intermediate.activation.approximate],
    )
    return build_module(config, weights, attention="grouped").to(device)
