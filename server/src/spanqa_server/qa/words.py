"""A shortcut through BERT's tokenizer: words come again and again, their pieces do not change.

BERT cuts a text at white space and around each punctuation mark, and takes each word by itself. So
the pieces of a word are asked of the tokenizer once and kept; what is left to do for a text is to
find its words and where they lie. Only ASCII's spaces and marks are cut at here: what lies between
them, a word of any script or many of them, is the tokenizer's to cut.
"""

import json
import re
import string
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

MARKS = re.escape(string.punctuation)
WORD = re.compile(rf"[^ \t\n\r{MARKS}]+|[{MARKS}]")
SPACE, MARK, IN_WORD = range(3)
# By code point; the last one stands for all beyond ASCII.
KINDS = np.array(
    [
        SPACE if chr(code) in " \t\n\r" else MARK if chr(code) in string.punctuation else IN_WORD
        for code in range(129)
    ],
    np.uint8,
)
# Some 15 MB; longer words come once.
MOST_PIECES = 100_000
LONGEST_WORD = 32

# For each piece its number in the vocabulary, and from where to where it lies in the word.
Pieces = tuple[int, ...]
Integers = npt.NDArray[np.int64]


class WordTokenizer:
    """Gives what the tokenizer gives, from the pieces of words that it has seen before."""

    def __init__(self, tokenizer: Tokenizer, most_pieces: int = MOST_PIECES) -> None:
        self._tokenizer = tokenizer
        self._most_pieces = self._room = most_pieces
        self._known: dict[str, Pieces] = {}

    def encode(self, text: str) -> tuple[npt.NDArray[np.int32], Integers, Integers]:
        """The vocabulary numbers, starts and ends, in code points, of a text's tokens, [n] each."""
        words, known = WORD.findall(text), self._known
        try:
            pieces = list(map(known.__getitem__, words))
        except KeyError:
            learned = self._learn({word for word in words if word not in known})
            pieces = [learned[word] if word in learned else known[word] for word in words]
        counts = np.fromiter(map(len, pieces), np.int64, len(words)) // 3
        flat = np.fromiter(chain.from_iterable(pieces), np.int64).reshape(-1, 3)
        begins = word_begins(text).repeat(counts)
        return flat[:, 0].astype(np.int32), flat[:, 1] + begins, flat[:, 2] + begins

    def _learn(self, words: Iterable[str]) -> dict[str, Pieces]:
        """Ask the tokenizer, and keep what it says as long as there is room."""
        asked = list(words)
        encoding = self._tokenizer.encode(asked, is_pretokenized=True, add_special_tokens=False)
        found: list[list[int]] = [[] for _ in asked]
        for number, at, place in zip(
            encoding.ids, encoding.word_ids, encoding.offsets, strict=True
        ):
            found[at] += (number, *place)
        learned = dict(zip(asked, map(tuple, found), strict=True))
        for word, pieces in learned.items():
            if len(word) <= LONGEST_WORD:
                if self._room <= 0:
                    self._known, self._room = {}, self._most_pieces
                self._known[word] = pieces
                self._room -= 1 + len(pieces) // 3
        return learned


def word_begins(text: str) -> Integers:
    """Where the matches of `WORD` begin, faster than by asking each of them."""
    if text.isascii():
        codes: npt.NDArray[Any] = np.frombuffer(text.encode("ascii"), np.uint8)
    else:
        codes = np.minimum(np.frombuffer(text.encode("utf-32-le"), np.uint32), len(KINDS) - 1)
    kinds = KINDS[codes]
    begins = kinds == IN_WORD
    begins[1:] &= kinds[:-1] != IN_WORD
    begins |= kinds == MARK
    return np.flatnonzero(begins)


def takes_words_apart(tokenizer: Tokenizer) -> bool:
    """Whether this is BERT's usual tokenizer, to which a word is the same in every text."""
    parts = json.loads(tokenizer.to_str())
    normalizer, splitter = parts["normalizer"] or {}, parts["pre_tokenizer"] or {}
    types = normalizer.get("type"), splitter.get("type")
    return (
        types == ("BertNormalizer", "BertPreTokenizer")
        and normalizer["clean_text"]
        and all(token["special"] for token in parts["added_tokens"])
    )
