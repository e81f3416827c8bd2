"""`config.json`: the shape of a BERT checkpoint."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from spanqa_model.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The shape of a BERT checkpoint; the fields have the names of its `config.json`."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    hidden_act: str


# `hidden_act` → the `approximate` argument of torch's GELU; "gelu" is the exact (erf) form.
GELU_APPROXIMATION = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: missing; a Hugging Face checkpoint directory has this file"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return content


def parse_config(raw: dict[str, Any], directory: Path) -> BertConfig:
    """Check that config.json describes a supported BERT, and return its shape.

    Raises:
        CheckpointError: the model is of another kind, or a value is missing or impossible.
    """
    expected = {
        "model_type": "bert",
        "position_embedding_type": "absolute",
        "is_decoder": False,
    }
    for key, value in expected.items():
        if raw.get(key, value) != value:
            raise CheckpointError(
                f"{directory}/config.json: {key} is {raw[key]!r}; only {value!r} is supported"
            )
    own = raw.get("auto_map")
    if isinstance(own, dict) and any(key.startswith("AutoModel") for key in own):
        raise CheckpointError(
            f"{directory}/config.json: the model is code of its own (auto_map: {own!r}), which is "
            "not run; if it computes what BERT computes, remove auto_map"
        )
    defaults: dict[str, Any] = {"layer_norm_eps": 1e-12, "hidden_act": "gelu", "type_vocab_size": 2}
    values = defaults | raw
    missing = [field.name for field in fields(BertConfig) if field.name not in values]
    if missing:
        raise CheckpointError(f"{directory}/config.json: lacks {', '.join(missing)}")
    config = BertConfig(**{field.name: values[field.name] for field in fields(BertConfig)})
    check_sizes(config, directory)
    if config.hidden_act not in GELU_APPROXIMATION:
        raise CheckpointError(
            f"{directory}/config.json: hidden_act is {config.hidden_act!r}; supported are "
            + ", ".join(GELU_APPROXIMATION)
        )
    return config


def check_sizes(config: BertConfig, directory: Path) -> None:
    for field in fields(BertConfig):
        value = getattr(config, field.name)
        if type(value) is not field.type or (field.type is int and value < 1):
            raise CheckpointError(f"{directory}/config.json: {field.name} cannot be {value!r}")
    if config.hidden_size % config.num_attention_heads:
        raise CheckpointError(
            f"{directory}/config.json: hidden_size {config.hidden_size} does not divide among "
            f"{config.num_attention_heads} heads"
        )
    if config.type_vocab_size < 2:
        raise CheckpointError(
            f"{directory}/config.json: type_vocab_size is {config.type_vocab_size}; "
            "question and context need 2 token types"
        )
