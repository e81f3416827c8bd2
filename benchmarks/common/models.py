"""The weights that all contenders of a comparison share, as each of them wants them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import transformers
from transformers import BertConfig, BertForQuestionAnswering

from benchmarks import REPOSITORY
from benchmarks.common.padded import padded_module, write_padded_version
from benchmarks.common.shapes import BERT_LARGE
from parity.reference import embedded_reference
from spanqa_model.checkpoints.presets import Source
from spanqa_model.export import Target, export
from spanqa_model.packed_bert.devices import Dtype
from spanqa_server.versions.repository import MODEL_NAME
from support.tiny import copy_tokenizer

Shape = Literal["embedded", "bert-large"]
PADDINGS = {"packed": None, "padded to 384": 384, "padded to the longest": 0}


@dataclass(frozen=True, slots=True)
class Weights:
    """One set of weights: a Hugging Face directory, and a model repository for each padding."""

    checkpoint: Path
    repositories: dict[str, Path]


@contextmanager
def prepared_weights(
    shape: Shape, dtype: Dtype, paddings: Mapping[str, int | None] = PADDINGS
) -> Iterator[Weights]:
    """Export everything to a temporary directory."""
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory(prefix="spanqa-bench-") as directory:
        checkpoint = Path(directory) / "checkpoint"
        source = embedded(checkpoint) if shape == "embedded" else bert_large(checkpoint)
        packed = Path(directory) / "packed"
        for_cpu = Target(dtype=dtype, device="cpu", attention="windowed")
        version = export(source, packed, for_cpu, version=1).directory
        repositories = {"packed": packed}
        for name, pad_to in paddings.items():
            if pad_to is not None:
                # Masked SDPA in bfloat16 on a CPU is several times slower than its parts.
                attention = "eager" if dtype == "bfloat16" else "sdpa"
                model = BertForQuestionAnswering.from_pretrained(
                    checkpoint, attn_implementation=attention
                )
                repositories[name] = Path(directory) / name.replace(" ", "-")
                target = repositories[name] / MODEL_NAME / "1"
                write_padded_version(version, padded_module(model, dtype, pad_to), target)
        for repository in repositories.values():
            link_configurations(repository / MODEL_NAME)
        yield Weights(checkpoint, repositories)


def link_configurations(model: Path) -> None:
    for name in ("config.pbtxt", "configs"):
        if not (model / name).exists():
            (model / name).symlink_to(REPOSITORY / MODEL_NAME / name)


def embedded(checkpoint: Path) -> Source:
    """The default model, its adapter merged, as a checkpoint directory."""
    embedded_reference().save_pretrained(checkpoint)
    copy_tokenizer(checkpoint)
    return Source(name="embedded", repository=str(checkpoint))


def bert_large(checkpoint: Path, shape: Mapping[str, int] = BERT_LARGE) -> Source:
    """BERT-large's true shape, or another, with random weights and a vocabulary to feed it."""
    import torch

    torch.manual_seed(0)
    BertForQuestionAnswering(BertConfig(**shape)).save_pretrained(checkpoint)
    copy_tokenizer(checkpoint)
    return Source(name="bert-large", repository=str(checkpoint))
