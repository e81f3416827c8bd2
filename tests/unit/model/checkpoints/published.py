"""Checkpoints in the layouts in which other people publish them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import BertConfig, BertForQuestionAnswering, BertTokenizerFast

from spanqa_model.checkpoints.weights import INDEX
from unit.model.tiny import SPECIALS, vocabulary, write_vocabulary

# config.json of google-bert/bert-large-cased-whole-word-masking-finetuned-squad.
LARGE_CASED: dict[str, Any] = {
    "architectures": ["BertForQuestionAnswering"],
    "attention_probs_dropout_prob": 0.1,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 1024,
    "initializer_range": 0.02,
    "intermediate_size": 4096,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "pad_token_id": 0,
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
    "type_vocab_size": 2,
    "vocab_size": 28996,
}
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 256,
    "initializer_range": 0.3,
}
FORMS = ("model.safetensors", "pytorch_model.bin")


def write_shards(
    directory: Path, model: BertForQuestionAnswering, *, safe: bool, size: str = "20KB"
) -> Path:
    """The model in several files, as the reference writes it; returns the index."""
    model.save_pretrained(directory, max_shard_size=size, safe_serialization=safe)
    write_vocabulary(directory)
    return directory / (("model.safetensors" if safe else "pytorch_model.bin") + INDEX)


def old_name(name: str) -> str:
    """The name of a parameter in checkpoints that were converted from TensorFlow."""
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return name.replace("LayerNorm.bias", "LayerNorm.beta")


def old_weights(model: BertForQuestionAnswering) -> dict[str, Tensor]:
    """The weights with the names and the parts that old versions of the reference saved."""
    size = model.config.hidden_size
    return {old_name(name): tensor.contiguous() for name, tensor in model.state_dict().items()} | {
        "bert.embeddings.position_ids": torch.arange(model.config.max_position_embeddings)[None],
        "bert.pooler.dense.weight": torch.randn(size, size),
        "bert.pooler.dense.bias": torch.randn(size),
    }


def write_published(
    directory: Path, *, forms: tuple[str, ...] = FORMS, **shape: Any
) -> BertForQuestionAnswering:
    """The layout of the production preset on the hub, with random weights; returns the model.

    `shape` changes config.json; without it the model has its true shape.
    """
    directory.mkdir(parents=True)
    config = LARGE_CASED | shape
    (directory / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    pieces = vocabulary(cased=True)
    pieces += [f"Piece{i}" for i in range(config["vocab_size"] - len(pieces))]
    assert pieces[: len(SPECIALS)] == SPECIALS
    (directory / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(str(directory / "vocab.txt"), do_lower_case=False)
    tokenizer.backend_tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": False, "model_max_length": 512}), encoding="utf-8"
    )
    torch.manual_seed(0)
    model = BertForQuestionAnswering(BertConfig(**config, attn_implementation="eager")).eval()
    model.qa_outputs.weight.data.mul_(2)
    weights = old_weights(model)
    if "model.safetensors" in forms:
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    if "pytorch_model.bin" in forms:
        torch.save(weights, directory / "pytorch_model.bin")
    return model
