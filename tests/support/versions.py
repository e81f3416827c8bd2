"""A model version for tests that answers otherwise than the default model."""

import json
from pathlib import Path

import torch
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.fetching import fetch
from spanqa_model.checkpoints.presets import PRESETS
from support.processes import run_model


def export_other(directory: Path, version: int) -> Path:
    """Export a version with another tokenizer and other weights; it stays out of service.

    The default model's base with a new head, and a tokenizer that keeps capitals: texts have
    another number of tokens, and answers other scores.
    """
    checkpoint = directory / "checkpoint"
    base = fetch(PRESETS["minilm-squad"]).directory
    torch.manual_seed(7)
    model = BertForQuestionAnswering.from_pretrained(base, local_files_only=True)
    model.save_pretrained(checkpoint)
    tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    tokenizer["normalizer"]["lowercase"] = False
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    run_model(
        *("export", "--checkpoint", checkpoint, "--name", "other", "--repository", directory),
        *("--version", version, "--dtype", "float32", "--device", "cpu"),
    )
    return directory / "bert_qa" / str(version)
