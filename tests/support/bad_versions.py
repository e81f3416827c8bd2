"""Model versions that do not work: copies of a good one, each with one thing wrong."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

UNREADABLE, NOT_LOADED, FAILED = "unreadable", "not_loaded", "failed"


@dataclass(frozen=True, slots=True)
class Bad:
    """What is wrong, how to make it so, and the state that it leads to."""

    told: str
    spoil: Callable[[Path], None]
    state: str


class HalfLogits(nn.Module):
    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits = input_ids.flatten().half()
        return logits, logits


class OneOutput(nn.Module):
    def forward(self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor) -> Tensor:
        return input_ids.flatten().float()


class Raises(nn.Module):
    def forward(
        self, input_ids: Tensor, token_type_ids: Tensor, window_lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        logits = input_ids.flatten().float()
        if logits.numel() > 0:
            raise ValueError("it never works")
        return logits, logits


def place(good: Path, bad: Bad, number: int) -> Path:
    """Let it appear all at once beside the good one."""
    repository = good.parents[1]
    staging = repository.with_name(f"{repository.name}.staging") / "version"
    shutil.copytree(good, staging)
    with warnings.catch_warnings():
        # TorchScript is what Triton's PyTorch backend loads.
        warnings.simplefilter("ignore", DeprecationWarning)
        bad.spoil(staging)
    return staging.rename(good.with_name(str(number)))


def change_manifest(version: Path, **changes: Any) -> None:
    manifest = json.loads((version / "model.json").read_text(encoding="utf-8"))
    (version / "model.json").write_text(json.dumps(manifest | changes), encoding="utf-8")


def agree(version: Path) -> None:
    """Let the manifest name the checksum of the model's file, whatever that is."""
    checksum = hashlib.sha256((version / "model.pt").read_bytes()).hexdigest()
    change_manifest(version, model_sha256=checksum)


def cut(version: Path) -> None:
    weights = (version / "model.pt").read_bytes()
    (version / "model.pt").write_bytes(weights[: len(weights) // 2])
    agree(version)


def no_torchscript(version: Path) -> None:
    (version / "model.pt").write_bytes(b"no TorchScript")
    agree(version)


def wrong_checksum(version: Path) -> None:
    change_manifest(version, model_sha256="0" * 64)


def no_tokenizer(version: Path) -> None:
    (version / "tokenizer.json").unlink()


def foreign_tokenizer(version: Path) -> None:
    """One with more word pieces than the model has."""
    tokenizer = json.loads((version / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = tokenizer["model"]["vocab"]
    known = max(pieces.values()) + 1
    change_manifest(version, vocab_size=known)
    pieces |= {f"piece-{number}": number for number in range(known, known + 1000)}
    (version / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def not_a_number(version: Path) -> None:
    model = torch.jit.load(str(version / "model.pt"), map_location="cpu")
    with torch.no_grad():
        model.qa_outputs.weight.fill_(float("nan"))
    save(version, model)


def wrong_positions(version: Path) -> None:
    manifest = json.loads((version / "model.json").read_text(encoding="utf-8"))
    change_manifest(version, max_position_embeddings=2 * manifest["max_position_embeddings"])


def scripted(module: nn.Module) -> Callable[[Path], None]:
    return lambda version: save(version, torch.jit.script(module))


def save(version: Path, model: Any) -> None:
    model.save(str(version / "model.pt"))
    agree(version)


def no_json(version: Path) -> None:
    (version / "model.json").write_text("{ not JSON", encoding="utf-8")


def no_fields(version: Path) -> None:
    (version / "model.json").write_text('{"name": "half"}', encoding="utf-8")


BAD = (
    Bad("model.pt is cut", cut, NOT_LOADED),
    Bad("model.pt is no TorchScript", no_torchscript, NOT_LOADED),
    Bad("another checksum", wrong_checksum, UNREADABLE),
    Bad("no tokenizer.json", no_tokenizer, UNREADABLE),
    Bad("a larger vocabulary's tokenizer", foreign_tokenizer, UNREADABLE),
    Bad("weights that are NaN", not_a_number, FAILED),
    Bad("fewer positions than it says", wrong_positions, FAILED),
    Bad("float16 logits", scripted(HalfLogits()), FAILED),
    Bad("one output", scripted(OneOutput()), FAILED),
    Bad("model.json is no JSON", no_json, UNREADABLE),
    Bad("model.json lacks fields", no_fields, UNREADABLE),
    Bad("forward() raises", scripted(Raises()), FAILED),
)
