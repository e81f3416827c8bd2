"""PEFT adapters with random matrices."""

import copy
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from transformers import BertForQuestionAnswering

LINEAR = ["query", "key", "value", "dense"]


def save_adapter(base: BertForQuestionAnswering, directory: Path, **options: Any) -> PeftModel:
    """Put random LoRA matrices (and modules saved whole) over a copy of `base`."""
    settings = {"r": 4, "lora_alpha": 10, "target_modules": LINEAR} | options
    return save_adapter_of(base, directory, LoraConfig(**settings))


def save_adapter_of(
    base: BertForQuestionAnswering, directory: Path, config: PeftConfig
) -> PeftModel:
    adapted = get_peft_model(copy.deepcopy(base), config)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.3)
    adapted.save_pretrained(str(directory), save_embedding_layers=False)
    return adapted
