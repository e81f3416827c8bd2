"""A faster way through BERT's tokenizer, which remembers the pieces of words.

BERT cuts a text at white space and around each punctuation mark, and cuts each word by itself. So
the tokenizer is asked for the pieces of a word once. What is left to do for a text is to find its
words and their places. Here a text is cut only at the spaces and marks of ASCII: what lies between
them, one word or many, of any script, is given to the tokenizer as one word.
"""

import json
import re
import string
from itertools import chain
from sys import getsizeof
from threading import Lock
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
LONGEST_WORD = 32  # longer ones come once
WORD_BYTES = 16 << 20
# What a word takes beside its characters and the tuple: at most so much in a dictionary, and the
# numbers that Python has not made in advance.
ENTRY_BYTES = 44
NUMBER_BYTES = 28
SMALL_NUMBER = 256

# For each piece three numbers: its id, and where it begins and ends in the word.
Pieces = tuple[int, ...]
Integers = npt.NDArray[np.int64]


class WordTokenizer:
    """Gives the same tokens as the tokenizer, and remembers words in `capacity` bytes.

    A word that is used moves from the earlier words to the recent ones. When the recent words
    fill half of the capacity, they become the earlier ones, and what is left of those is
    forgotten. This costs nothing while all words of a text are recent. As entries of the text
    cache, in order of use, words would make a text take a tenth longer.
    """

    def __init__(self, tokenizer: Tokenizer, capacity: int = WORD_BYTES) -> None:
        self.capacity = capacity
        self._tokenizer = tokenizer
        self._recent: dict[str, Pieces] = {}
        self._earlier: dict[str, Pieces] = {}
        self._recent_bytes = self._earlier_bytes = 0
        self._changes = Lock()

    @property
    def nbytes(self) -> int:
        """The memory of the words that are remembered."""
        return self._recent_bytes + self._earlier_bytes

    def encode(self, text: str) -> tuple[npt.NDArray[np.int32], Integers, Integers]:
        """The vocabulary numbers, starts and ends, in code points, of a text's tokens, [n] each."""
        words = WORD.findall(text)
        try:
            pieces = list(map(self._recent.__getitem__, words))
        except KeyError:
            found = self._look_up(set(words))
            pieces = [found[word] for word in words]
        counts = np.fromiter(map(len, pieces), np.int64, len(words)) // 3
        flat = np.fromiter(chain.from_iterable(pieces), np.int64).reshape(-1, 3)
        begins = word_begins(text).repeat(counts)
        return flat[:, 0].astype(np.int32), flat[:, 1] + begins, flat[:, 2] + begins

    def _look_up(self, words: set[str]) -> dict[str, Pieces]:
        recent, earlier = self._recent, self._earlier
        known = {word: recent.get(word, earlier.get(word)) for word in words}
        found = {word: pieces for word, pieces in known.items() if pieces is not None}
        found |= self._ask([word for word in words if word not in found])
        with self._changes:
            for word in words:
                self._remember(word, found[word])
        return found

    def _ask(self, words: list[str]) -> dict[str, Pieces]:
        encoding = self._tokenizer.encode(words, is_pretokenized=True, add_special_tokens=False)
        found: list[list[int]] = [[] for _ in words]
        for number, at, place in zip(
            encoding.ids, encoding.word_ids, encoding.offsets, strict=True
        ):
            found[at] += (number, *place)
        return dict(zip(words, map(tuple, found), strict=True))

    def _remember(self, word: str, pieces: Pieces) -> None:
        numbers = sum(number > SMALL_NUMBER for number in pieces)
        size = getsizeof(word) + getsizeof(pieces) + NUMBER_BYTES * numbers + ENTRY_BYTES
        room = self.capacity // 2
        if word in self._recent or len(word) > LONGEST_WORD or size > room:
            return
        if self._earlier.pop(word, None) is not None:
            self._earlier_bytes -= size
        if self._recent_bytes + size > room:
            self._earlier, self._earlier_bytes = self._recent, self._recent_bytes
            self._recent, self._recent_bytes = {}, 0
        self._recent[word] = pieces
        self._recent_bytes += size


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


def takes_han_apart(tokenizer: Tokenizer) -> bool:
    """Whether each Chinese character is a word to it."""
    normalizer = json.loads(tokenizer.to_str())["normalizer"] or {}
    return bool(normalizer.get("handle_chinese_chars"))
