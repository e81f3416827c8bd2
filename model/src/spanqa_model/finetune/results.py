"""Saves the result of a run: a directory that the exporter can read."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from spanqa_model.checkpoints.adapter import ADAPTER_CONFIG
from spanqa_model.checkpoints.config import read_json
from spanqa_model.checkpoints.presets import Source
from spanqa_model.checkpoints.tokenizer_config import NORMALIZER_FLAGS, read_tokenizer_config
from spanqa_model.checkpoints.training_facts import TrainingFacts, write_facts
from spanqa_model.repository.files import sync

ADAPTER_WEIGHTS = "adapter_model.safetensors"


def save_result(
    checkpoint: Path,
    target: Path,
    *,
    base: Source,
    base_directory: Path,
    tokenizer: Tokenizer,
    facts: TrainingFacts,
) -> None:
    """Save the last checkpoint in `target`, as a Hugging Face directory or a PEFT adapter.

    Each file appears atomically. After an interruption, call it again.
    """
    staging = target / ".result"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    if (checkpoint / ADAPTER_CONFIG).exists():
        save_adapter(checkpoint, staging, base)
    else:
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(checkpoint / name, staging / name)
        save_tokenizer(tokenizer, base_directory, staging)
    write_facts(staging, facts)
    for file in staging.iterdir():
        file.chmod(0o644)  # safetensors creates files that only their owner can read
        sync(file)
        file.replace(target / file.name)
    staging.rmdir()
    sync(target)


def save_adapter(checkpoint: Path, directory: Path, base: Source) -> None:
    """Save a PEFT adapter. float16 halves its size, and costs no F1."""
    tensors = load_file(checkpoint / ADAPTER_WEIGHTS)
    halved = {
        name: tensor.to(torch.float16) if ".lora_" in name else tensor
        for name, tensor in tensors.items()
    }
    save_file(halved, directory / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    local = Path(base.repository)
    config = read_json(checkpoint / ADAPTER_CONFIG) | {
        "base_model_name_or_path": str(local.resolve()) if local.is_dir() else base.repository,
        "revision": base.revision or None,
    }
    (directory / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def save_tokenizer(tokenizer: Tokenizer, base: Path, directory: Path) -> None:
    """Save the tokenizer so that transformers loads it with the class, options and limit of `base`.

    A base without a limit gets that of its positions.
    """
    config = read_tokenizer_config(base)
    options: dict[str, Any] = {
        name: token
        for name, token in config.names.items()
        if tokenizer.token_to_id(token) is not None
    }
    normalizer = json.loads(tokenizer.to_str())["normalizer"] or {}
    if normalizer.get("type") == "BertNormalizer" and not config.is_generic:
        options |= {option: normalizer[flag] for option, flag in NORMALIZER_FLAGS.items()}
    tokenizer_class = getattr(
        transformers, f"{config.class_name}Fast", transformers.PreTrainedTokenizerFast
    )
    tokenizer_class(
        tokenizer_object=tokenizer,
        model_max_length=config.max_tokens
        or read_json(base / "config.json")["max_position_embeddings"],
        additional_special_tokens=list(config.markers),
        **options,
    ).save_pretrained(directory)
