"""`BertForQuestionAnswering` with the weights of a packed module."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import BertConfig, BertForQuestionAnswering

from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering


def same_model(
    module: PackedBertForQuestionAnswering, device: torch.device
) -> BertForQuestionAnswering:
    """The model, float32, on this device; query, key and value are three matrices there."""
    transformers.logging.set_verbosity_error()
    weights = {}
    for name, tensor in module.state_dict().items():
        if ".self.qkv." in name:
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                weights[name.replace(".qkv.", f".{part}.")] = third.clone()
        else:
            weights[name] = tensor
    layers: Any = module.bert.encoder.layer
    config = BertConfig(
        vocab_size=module.bert.embeddings.word_embeddings.num_embeddings,
        hidden_size=module.qa_outputs.in_features,
        num_hidden_layers=len(layers),
        num_attention_heads=layers[0].attention.self.num_attention_heads,
        intermediate_size=layers[0].intermediate.dense.out_features,
        attn_implementation="sdpa",
    )
    with device:
        model = BertForQuestionAnswering(config)
    model.load_state_dict(weights)
    return model.eval()
