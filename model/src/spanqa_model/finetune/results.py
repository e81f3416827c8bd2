"""What a run leaves behind: a directory that the exporter takes as it is."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from spanqa_model.checkpoint import read_json
from spanqa_model.presets import Source
from spanqa_model.training_facts import TrainingFacts, write_facts
from spanqa_model.versions import sync

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
SPECIAL_TOKENS = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


def save_result(
    checkpoint: Path, target: Path, *, base: Source, tokenizer: Tokenizer, facts: TrainingFacts
) -> None:
    """Make the last checkpoint a Hugging Face directory or a PEFT adapter in `target`.

    Each file appears whole; call it again where it was cut off.
    """
    staging = target / ".result"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    if (checkpoint / ADAPTER_CONFIG).exists():
        save_adapter(checkpoint, staging, base)
    else:
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(checkpoint / name, staging / name)
        save_tokenizer(tokenizer, staging)
    write_facts(staging, facts)
    for file in staging.iterdir():
        file.chmod(0o644)  # safetensors keeps its files to the owner
        sync(file)
        file.replace(target / file.name)
    staging.rmdir()
    sync(target)


def save_adapter(checkpoint: Path, directory: Path, base: Source) -> None:
    """A PEFT adapter with float16 matrices, as small as they may be without loss of F1."""
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


def save_tokenizer(tokenizer: Tokenizer, directory: Path) -> None:
    known = {
        name: token
        for name, token in SPECIAL_TOKENS.items()
        if tokenizer.token_to_id(token) is not None
    }
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **known).save_pretrained(directory)
