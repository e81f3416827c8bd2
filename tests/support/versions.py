"""Model versions for tests: one that answers otherwise, one that Triton cannot load."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import torch
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.fetching import fetch
from spanqa_model.checkpoints.presets import PRESETS
from support.processes import BIN


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
    subprocess.run(
        [
            *(BIN / "spanqa-model", "export", "--checkpoint", checkpoint, "--name", "other"),
            *("--repository", directory, "--version", str(version)),
            *("--dtype", "float32", "--device", "cpu"),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return directory / "bert_qa" / str(version)


def copy_unloadable(version: Path, target: Path) -> Path:
    """A version whose files agree with each other, but whose model is no TorchScript."""
    shutil.copytree(version, target)
    weights = b"no TorchScript"
    (target / "model.pt").write_bytes(weights)
    manifest = json.loads((target / "model.json").read_text())
    manifest["model_sha256"] = hashlib.sha256(weights).hexdigest()
    (target / "model.json").write_text(json.dumps(manifest))
    return target
