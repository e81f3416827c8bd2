"""Which configurations are supported, and how the others are refused."""

import json
from pathlib import Path

import pytest

from spanqa_model.checkpoints.reader import load_checkpoint
from spanqa_model.errors import CheckpointError


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("model_type", "roberta", "model_type is 'roberta'"),
        ("position_embedding_type", "relative_key", "position_embedding_type"),
        ("is_decoder", True, "is_decoder"),
        ("hidden_act", "relu", "hidden_act is 'relu'; supported are gelu"),
        ("hidden_act", ["gelu"], "hidden_act cannot be"),
        ("hidden_size", "32", "hidden_size cannot be '32'"),
        ("hidden_size", None, "hidden_size cannot be None"),
        ("num_attention_heads", 0, "num_attention_heads cannot be 0"),
        ("num_attention_heads", 5, "hidden_size 32 does not divide among 5 heads"),
        ("type_vocab_size", 1, "type_vocab_size is 1"),
        ("auto_map", {"AutoModel": "own.Model"}, "the model is code of its own"),
        ("auto_map", {"AutoModelForQuestionAnswering": "a--b.C"}, "which is not run; if it"),
        ("vocab_size", 100, "the tokenizer has .* pieces, config.json says 100"),
        ("layer_norm_eps", "small", "layer_norm_eps cannot be 'small'"),
        ("intermediate_size", ..., r"config\.json: lacks intermediate_size"),
    ],
)
def test_unsupported_configurations_are_refused(
    checkpoint: Path, name: str, value: object, message: str
) -> None:
    path = checkpoint / "config.json"
    content = json.loads(path.read_text(encoding="utf-8")) | {name: value}
    if value is ...:
        del content[name]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(checkpoint)
