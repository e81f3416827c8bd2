"""Reads a Hugging Face BERT checkpoint: a directory with configuration, weights and tokenizer."""

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from spanqa_model.checkpoints.config import BertConfig, parse_config, read_json
from spanqa_model.checkpoints.tokenizer import check_tokenizer, load_tokenizer
from spanqa_model.errors import CheckpointError, first_line

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# Checkpoints that were converted from TensorFlow use its names for LayerNorm's parameters.
TENSORFLOW_NAMES = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory.

    `state_dict` has the parameter names of `BertForQuestionAnswering` (`bert.…`, `qa_outputs.…`).
    A base model without a question answering head has no `qa_outputs.…`.
    """

    config: BertConfig
    state_dict: dict[str, Tensor]
    tokenizer: Tokenizer
    weights_file: Path


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint directory: config.json, weights, and tokenizer.json or vocab.txt.

    Raises:
        CheckpointError: a file is missing or corrupt, or the model is not a BERT.
    """
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


def find_weights(directory: Path, names: tuple[str, ...] = WEIGHT_FILES) -> Path:
    """The first of these files that the directory has."""
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise CheckpointError(f"{directory}: holds neither {' nor '.join(names)}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read safetensors or a pickled state dict. Pickles may hold tensors only, so no code runs."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about some damaged files
            state_dict = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # torch's own message recommends loading the file without this protection.
        raise CheckpointError(
            f"{path}: corrupt, or a pickle of more than tensors; fetch it again or as safetensors"
        ) from None
    except Exception as error:  # torch.load raises errors of many types for damaged files
        raise CheckpointError(f"{path}: corrupt ({first_line(error)}); fetch it again") from None
    if not isinstance(state_dict, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state_dict.items()
    ):
        raise CheckpointError(f"{path}: not a state dict (names and tensors)")
    return state_dict


def rename_parameters(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters to those of `BertForQuestionAnswering`, whatever class saved them."""
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
