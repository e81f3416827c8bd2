"""Reading a Hugging Face BERT checkpoint: a directory with config, weights and tokenizer."""

import json
import pickle
import re
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from tokenizers.models import WordPiece
from torch import Tensor

from spanqa_model.bert import GELU_APPROXIMATION, BertConfig
from spanqa_model.errors import CheckpointError

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# Checkpoints converted from TensorFlow keep its names for LayerNorm's parameters.
TENSORFLOW_NAMES = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory.

    `state_dict` has the names of `BertForQuestionAnswering` (`bert.…`, `qa_outputs.…`);
    a base model without a question answering head has no `qa_outputs.…`.
    """

    config: BertConfig
    state_dict: dict[str, Tensor]
    tokenizer: Tokenizer
    weights_file: Path


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint directory (config.json, weights, tokenizer.json or vocab.txt).

    Raises:
        CheckpointError: a part is missing, corrupt, or not a BERT.
    """
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: no such directory; give a checkpoint directory")
    config = parse_config(read_json(directory / "config.json"), directory)
    weights_file = find_weights(directory)
    tokenizer = load_tokenizer(directory)
    check_tokenizer(tokenizer, config, directory)
    return Checkpoint(
        config=config,
        state_dict=rename_parameters(read_weights(weights_file)),
        tokenizer=tokenizer,
        weights_file=weights_file,
    )


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; a Hugging Face directory has it") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a JSON object")
    return content


def parse_config(raw: dict[str, Any], directory: Path) -> BertConfig:
    """Check that config.json describes a BERT of the supported kind."""
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


def find_weights(directory: Path) -> Path:
    for name in WEIGHT_FILES:
        if (directory / name).is_file():
            return directory / name
    raise CheckpointError(f"{directory}: holds neither {' nor '.join(WEIGHT_FILES)}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read safetensors, or a pickled state dict (tensors only: no code is run)."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on damaged files
            state_dict = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own text recommends to load it without the protection
        raise CheckpointError(
            f"{path}: corrupt, or a pickle of more than tensors; fetch it again or as safetensors"
        ) from None
    except Exception as error:  # whatever a damaged file provokes passes through torch.load
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: corrupt ({reason}); fetch it again") from None
    if not isinstance(state_dict, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state_dict.items()
    ):
        raise CheckpointError(f"{path}: not a state dict (names and tensors)")
    return state_dict


def rename_parameters(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of `BertForQuestionAnswering`, whichever BERT class saved the checkpoint."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state_dict.items():
        for old, new in TENSORFLOW_NAMES:
            name = name.replace(old, new)
        if name.startswith(("embeddings.", "encoder.")):
            name = f"bert.{name}"
        if name.startswith(("bert.embeddings.", "bert.encoder.", "qa_outputs.")):
            renamed[name] = tensor
    renamed.pop("bert.embeddings.position_ids", None)
    return renamed


def load_tokenizer(directory: Path) -> Tokenizer:
    """The checkpoint's fast tokenizer, or one made from its vocab.txt.

    Truncation and padding that the file may carry are switched off: windows are cut
    from the whole token sequence.
    """
    fast, vocab = directory / "tokenizer.json", directory / "vocab.txt"
    file = fast if fast.is_file() else vocab
    if not file.is_file():
        raise CheckpointError(f"{directory}: holds neither tokenizer.json nor vocab.txt")
    try:
        if file == fast:
            tokenizer: Tokenizer = Tokenizer.from_file(str(fast))
        else:
            tokenizer = wordpiece_tokenizer(vocab, directory / "tokenizer_config.json")
    except CheckpointError:
        raise
    except Exception as error:  # the tokenizers library raises bare Exception
        raise CheckpointError(f"{file}: corrupt ({error}); fetch it again") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def wordpiece_tokenizer(vocab: Path, tokenizer_config: Path) -> Tokenizer:
    raw = read_json(tokenizer_config) if tokenizer_config.is_file() else {}
    tokens = vocab.read_text(encoding="utf-8").split("\n")
    # Without do_lower_case the vocabulary decides: an uncased one has A to Z in [CLS] and
    # its like alone (but it may have capitals that lower-casing leaves alone, as ℝ).
    cased = any(re.search("[A-Z]", token) for token in tokens if not token.startswith("["))
    lowercase = raw.get("do_lower_case", not cased)
    implementation = BertWordPieceTokenizer(
        WordPiece.read_file(str(vocab)),
        lowercase=lowercase,
        strip_accents=raw.get("strip_accents"),
        handle_chinese_chars=raw.get("tokenize_chinese_chars", True),
    )
    tokenizer: Tokenizer = implementation._tokenizer
    return tokenizer


def check_tokenizer(tokenizer: Tokenizer, config: BertConfig, directory: Path) -> None:
    for token in ("[CLS]", "[SEP]"):
        if tokenizer.token_to_id(token) is None:
            raise CheckpointError(f"{directory}: the vocabulary has no {token}: not BERT's")
    pieces = tokenizer.get_vocab_size()
    if pieces > config.vocab_size:
        raise CheckpointError(
            f"{directory}: the tokenizer has {pieces} pieces, config.json says "
            f"{config.vocab_size}: they do not belong together"
        )
