"""A model that costs next to nothing, for tests of many thousands of calls.

Random weights, the default model's vocabulary, and the "no answer" of a SQuAD v2 model.
"""

import shutil
from pathlib import Path

import torch
from transformers import BertConfig, BertForQuestionAnswering

from spanqa_model.checkpoints.fetching import fetch
from spanqa_model.checkpoints.presets import PRESETS
from support.processes import run_model


def export_tiny(directory: Path) -> Path:
    """Export it, as a user would; returns the model repository."""
    checkpoint = directory / "checkpoint"
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        initializer_range=0.3,
    )
    model = BertForQuestionAnswering(config)
    model.qa_outputs.weight.data.mul_(2)  # logits of the size that a trained model gives
    model.save_pretrained(checkpoint)
    copy_tokenizer(checkpoint)
    repository = directory / "repository"
    run_model(
        *("export", "--checkpoint", checkpoint, "--name", "tiny", "--repository", repository),
        *("--dtype", "float32", "--device", "cpu", "--no-answer"),
    )
    return repository


def copy_tokenizer(checkpoint: Path) -> None:
    """The default model's."""
    source = fetch(PRESETS["minilm-squad"]).directory
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copyfile(source / name, checkpoint / name)
