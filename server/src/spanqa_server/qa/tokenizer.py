"""Text to tokens: whole texts, no truncation, no padding, no special tokens added."""

import unicodedata
from dataclasses import dataclass
from itertools import chain
from sys import getsizeof

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from spanqa_server.qa.cutting import cut
from spanqa_server.qa.words import (
    WORD_BYTES,
    WordTokenizer,
    takes_han_apart,
    takes_words_apart,
)

# Texts over this many characters are tokenized in a thread, with the interpreter free.
LONG_TEXT = 20_000
# Offsets converted at a time: other threads run between two slices.
SLICE = 50_000
# No combining mark has a lower code point.
FIRST_MARK = 0x300
# Emoji flags of regions end in tags, which show nothing of their own.
TAGS = range(0xE0020, 0xE0080)

Arrays = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class TokenizedText:
    """A text's tokens.

    `ids` int32 [n], vocabulary numbers; `starts` and `ends` int64 [n], where each token
    lies in the text, half-open, in code points; marks that the tokenizer drops belong to the
    token before them.
    """

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """The memory that it takes; no array is a view of a larger one."""
        return getsizeof(self) + sum(map(getsizeof, (self.ids, self.starts, self.ends)))


class TextTokenizer:
    """A model version's tokenizer; threads may share it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # "[SEP]" written by a user is text, not structure.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self._takes_words_apart = takes_words_apart(tokenizer)
        self._takes_han_apart = takes_han_apart(tokenizer)
        self.limit_words(WORD_BYTES)
        self._pieces = {number: piece for piece, number in tokenizer.get_vocab().items()}
        self.vocabulary = max(self._pieces, default=0) + 1
        self.cls_id = self._special("[CLS]")
        self.sep_id = self._special("[SEP]")

    def _special(self, token: str) -> int:
        number: int | None = self._tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the vocabulary has no {token}: not a BERT tokenizer")
        return number

    def encode(self, text: str) -> TokenizedText:
        """Tokenize a whole text."""
        if self._words and len(text) <= LONG_TEXT:
            ids, starts, ends = self._words.encode(text)
        elif self._takes_words_apart:
            ids, starts, ends = self._encode_in_parts(text)
        else:
            ids, starts, ends = self._encode_whole(text)
        if not text.isascii():
            cover_marks(text, starts, ends)
        return TokenizedText(ids, starts, ends)

    def _encode_in_parts(self, text: str) -> Arrays:
        parts = []
        for begin, part in cut(text, LONG_TEXT, in_han=self._takes_han_apart):
            ids, starts, ends = self._encode_whole(part)
            parts.append((ids, starts + begin, ends + begin))
        ids, starts, ends = map(np.concatenate, zip(*parts, strict=True))
        return ids, starts, ends

    def _encode_whole(self, text: str) -> Arrays:
        # encode_batch, unlike encode, lets other threads run meanwhile.
        (encoding,) = self._tokenizer.encode_batch([text], add_special_tokens=False)
        offsets = encoding.offsets
        starts, ends = (np.empty(len(offsets), dtype=np.int64) for _ in range(2))
        for begin in range(0, len(offsets), SLICE):
            part = offsets[begin : begin + SLICE]
            places = np.fromiter(chain.from_iterable(part), np.int64, 2 * len(part))
            starts[begin : begin + SLICE] = places[::2]
            ends[begin : begin + SLICE] = places[1::2]
        return np.array(encoding.ids, dtype=np.int32), starts, ends

    @property
    def word_bytes(self) -> int:
        """The memory of the words that it remembers."""
        return self._words.nbytes if self._words else 0

    def limit_words(self, capacity: int) -> None:
        """Remember words, in so many bytes, from now on; those known so far are forgotten."""
        by_words = capacity and self._takes_words_apart
        self._words = WordTokenizer(self._tokenizer, capacity) if by_words else None

    def pieces(self, ids: npt.NDArray[np.int32]) -> list[str]:
        """The tokens as text (word pieces)."""
        return [self._pieces[number] for number in ids.tolist()]


def cover_marks(text: str, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
    """Widen tokens over the marks that follow them and that no token covers.

    An uncased BERT drops combining marks and variation selectors: without this, an answer that
    ends in a decomposed letter would lose its accent.

    Args:
        starts, ends: [n], in order, code points; `ends` is changed in place.
    """
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    inside = np.flatnonzero(ends < len(points))
    free = inside[points[ends[inside]] >= FIRST_MARK]
    last_begun = np.searchsorted(starts, ends[free], side="right") - 1
    free = free[ends[last_begun] <= ends[free]]
    for token, end in zip(free.tolist(), ends[free].tolist(), strict=True):
        while end < len(text) and extends_a_letter(text[end]):
            end += 1
        ends[token] = end


def extends_a_letter(character: str) -> bool:
    """Whether it only changes how the character before it looks."""
    return unicodedata.category(character)[0] == "M" or ord(character) in TAGS
