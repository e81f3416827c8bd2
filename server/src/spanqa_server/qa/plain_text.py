"""A shortcut for plain English: ASCII text needs next to nothing of BERT's normalizer.

The normalizer keeps track of each character that it changes, which takes a third of the time of
tokenization (`benchmarks/stages.py`). Of ASCII without control characters it changes upper case
alone, and white space, at which the text is split in any case.
"""

import json
import re
from collections.abc import Callable

from tokenizers import Tokenizer

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def is_plain(text: str) -> bool:
    """ASCII without control characters, but for tabs and line ends."""
    return text.isascii() and not CONTROL.search(text)


def plain_tokenizer(tokenizer: Tokenizer) -> tuple[Tokenizer, Callable[[str], str]] | None:
    """A tokenizer for plain texts, and what it wants done to them first.

    Same tokens and offsets as the given one's. None where that is not BERT's usual one, or where
    its own words could be lost.
    """
    parts = json.loads(tokenizer.to_str())
    normalizer, splitter = parts["normalizer"] or {}, parts["pre_tokenizer"] or {}
    types = normalizer.get("type"), splitter.get("type")
    if types != ("BertNormalizer", "BertPreTokenizer") or not normalizer["clean_text"]:
        return None
    if not all(token["special"] for token in parts["added_tokens"]):
        return None
    plain = Tokenizer.from_str(json.dumps(parts | {"normalizer": None}))
    plain.encode_special_tokens = tokenizer.encode_special_tokens
    return plain, str.lower if normalizer["lowercase"] else str
