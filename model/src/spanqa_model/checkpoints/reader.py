"""Reads a Hugging Face BERT checkpoint: a directory with configuration, weights and tokenizer."""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor

from spanqa_model.checkpoints.adapter import refuse_adapter
from spanqa_model.checkpoints.config import BertConfig, parse_config, read_json
from spanqa_model.checkpoints.tokenizer import Say, check_tokenizer, load_tokenizer, say_nothing
from spanqa_model.checkpoints.weights import find_weights, read_weights, rename_parameters


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory.

    `state_dict` has the parameter names of `BertForQuestionAnswering` (`bert.…`, `qa_outputs.…`).
    A base model without a question answering head has no `qa_outputs.…`. `weights_file` may be an
    index that names several files.
    """

    config: BertConfig
    state_dict: dict[str, Tensor]
    tokenizer: Tokenizer
    weights_file: Path


def load_checkpoint(directory: Path, on_notice: Say = say_nothing) -> Checkpoint:
    """Read a checkpoint directory: config.json, weights, and tokenizer.json or vocab.txt.

    Args:
        directory: the checkpoint.
        on_notice: called with a sentence where the files leave open what is meant.

    Raises:
        CheckpointError: a file is missing or corrupt, or the model is not a BERT.
    """
    refuse_adapter(directory)
    config = parse_config(read_json(directory / "config.json"), directory)
    weights_file = find_weights(directory)
    tokenizer = load_tokenizer(directory, on_notice)
    check_tokenizer(tokenizer, config, directory)
    return Checkpoint(
        config=config,
        state_dict=rename_parameters(read_weights(weights_file)),
        tokenizer=tokenizer,
        weights_file=weights_file,
    )
