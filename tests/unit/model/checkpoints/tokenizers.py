"""Tokenizers of checkpoints on disk, beside those that the reference makes of the same files."""

import json
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from spanqa_model.checkpoints.tokenizer import load_tokenizer
from unit.model.tiny import edit_json, write_vocabulary

TEXTS = (
    "Who wrote THE café?",
    "who [TABLE] wrote[TABLE]it [table] [ROW]it",
    "CARD7 card7 card77 in <T>the</T>",
    "Ünïcödé é É ß ẞ naïve",
    "中文 the 中 a\tb\u00a0c",
    "it's 3.5 % [unused1] ##re",
    "",
)


def write_files(directory: Path, *, cased: bool = False) -> Path:
    """config.json and vocab.txt: what the reference needs to make a tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    edit_json(directory / "config.json", model_type="bert")
    write_vocabulary(directory, cased=cased)
    return directory


def vocabulary_size(directory: Path) -> int:
    return len((directory / "vocab.txt").read_text(encoding="utf-8").splitlines())


def write_fast(directory: Path, **normalizer: object) -> None:
    """tokenizer.json as the reference makes it, with other options of its normalizer."""
    reference: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(directory)
    state = json.loads(reference.backend_tokenizer.to_str())
    state["normalizer"] |= normalizer
    (directory / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")


def served(directory: Path) -> Tokenizer:
    """Our tokenizer as the service uses it: special tokens in a text are text."""
    tokenizer = load_tokenizer(directory)
    tokenizer.encode_special_tokens = True
    return tokenizer


def tokens_of(tokenizer: Tokenizer, text: str) -> list[str]:
    tokens: list[str] = tokenizer.encode(text, add_special_tokens=False).tokens
    return tokens


def assert_as_the_reference(directory: Path, texts: tuple[str, ...] = TEXTS) -> None:
    """The same tokens for texts in which no structure token is written."""
    ours, reference = served(directory), AutoTokenizer.from_pretrained(directory)
    for text in texts:
        mine = ours.encode(text, add_special_tokens=False)
        theirs = reference(text, add_special_tokens=False, return_offsets_mapping=True)
        assert (mine.ids, mine.offsets) == (theirs["input_ids"], theirs["offset_mapping"])
