"""A tiny random Hugging Face BERT, as files and in memory."""

import json
import string
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import BertConfig as ReferenceConfig
from transformers import BertForQuestionAnswering

from spanqa_model.checkpoints.config import BertConfig, parse_config
from spanqa_model.packed_bert.build import build_module
from spanqa_model.packed_bert.model import PackedBertForQuestionAnswering

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "##re", "who", "wrote", "it", "##s", "caf", "##ca"]
POSITIONS = 64


def vocabulary(*, cased: bool) -> list[str]:
    """Enough pieces to spell any ASCII text."""
    letters = string.ascii_letters if cased else string.ascii_lowercase
    characters = letters + string.digits + string.punctuation
    inside = (f"##{letter}" for letter in characters)
    return list(dict.fromkeys([*SPECIALS, *characters, *inside, *WORDS, "é", "##é"]))


def reference_model(
    *,
    seed: int = 0,
    vocab_size: int = 256,
    hidden_act: str = "gelu",
    hidden_size: int = 32,
    layers: int = 2,
    positions: int = POSITIONS,
) -> BertForQuestionAnswering:
    """A random model whose logits are of the size that a trained one gives."""
    torch.manual_seed(seed)
    config = ReferenceConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=positions,
        hidden_act=hidden_act,
        initializer_range=0.3,
        attn_implementation="eager",
    )
    model = BertForQuestionAnswering(config).eval()
    model.qa_outputs.weight.data.mul_(2)
    return model


def write_vocabulary(directory: Path, *, cased: bool = False) -> None:
    text = "\n".join(vocabulary(cased=cased)) + "\n"
    (directory / "vocab.txt").write_text(text, encoding="utf-8")


def write_checkpoint(directory: Path, model: BertForQuestionAnswering | None = None) -> Path:
    """A checkpoint directory: config.json, model.safetensors, an uncased vocab.txt."""
    directory.mkdir(parents=True, exist_ok=True)
    (model or reference_model()).save_pretrained(directory)
    write_vocabulary(directory)
    return directory


def use_bin(directory: Path, *, zipped: bool = True) -> Path:
    """Replace model.safetensors by pytorch_model.bin."""
    safetensors, pickled = directory / "model.safetensors", directory / "pytorch_model.bin"
    torch.save(load_file(safetensors), pickled, _use_new_zipfile_serialization=zipped)
    safetensors.unlink()
    return pickled


def edit_json(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps(content | changes), encoding="utf-8")


def packed_config(model: BertForQuestionAnswering) -> BertConfig:
    return parse_config(model.config.to_dict(), Path("in-memory"))


def packed_model(
    model: BertForQuestionAnswering, *, attention: str = "windowed"
) -> PackedBertForQuestionAnswering:
    return build_module(packed_config(model), model.state_dict(), attention=attention)


def random_windows(
    lengths: Sequence[int], *, seed: int = 0, vocab_size: int = 256
) -> tuple[Tensor, Tensor, Tensor]:
    """Packed windows of these lengths: ids, token types (a third is question) and lengths."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, vocab_size, (sum(lengths),), generator=generator, dtype=torch.int32)
    types = torch.cat([(torch.arange(n) >= n // 3).int() for n in lengths])
    return ids, types, torch.tensor(lengths, dtype=torch.int32)


def reference_logits(
    model: BertForQuestionAnswering, ids: Tensor, types: Tensor, lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Each window alone through the reference, joined end to end."""
    starts, ends = [], []
    sizes = lengths.tolist()
    with torch.inference_mode():
        for window, kinds in zip(ids.split(sizes), types.split(sizes), strict=True):
            output = model(input_ids=window[None].long(), token_type_ids=kinds[None].long())
            starts.append(output.start_logits[0])
            ends.append(output.end_logits[0])
    return torch.cat(starts), torch.cat(ends)
