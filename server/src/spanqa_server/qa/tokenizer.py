"""Text to tokens: whole texts, no truncation, no padding, no special tokens added."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

# Texts over this many characters are tokenized in a thread, with the interpreter free.
LONG_TEXT = 20_000
# Offsets converted at a time: other threads run between two slices.
SLICE = 50_000


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text's tokens.

    `ids` int32 [n], vocabulary numbers; `starts` and `ends` int64 [n], where each token
    lies in the text, half-open, in code points.
    """

    ids: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


class TextTokenizer:
    """A model version's tokenizer. Set up once here and never changed after that."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # "[SEP]" written by a user is text, not structure.
        tokenizer.encode_special_tokens = True
        self._tokenizer = tokenizer
        self.cls_id = self._special("[CLS]")
        self.sep_id = self._special("[SEP]")

    def _special(self, token: str) -> int:
        number: int | None = self._tokenizer.token_to_id(token)
        if number is None:
            raise ValueError(f"the vocabulary has no {token}: not a BERT tokenizer")
        return number

    def encode(self, text: str) -> TokenizedText:
        """Tokenize a whole text."""
        if len(text) > LONG_TEXT:  # only this form lets other threads run meanwhile
            (encoding,) = self._tokenizer.encode_batch([text], add_special_tokens=False)
        else:
            encoding = self._tokenizer.encode(text, add_special_tokens=False)
        offsets = encoding.offsets
        array = np.empty((len(offsets), 2), dtype=np.int64)
        for begin in range(0, len(offsets), SLICE):
            array[begin : begin + SLICE] = offsets[begin : begin + SLICE]
        return TokenizedText(
            ids=np.array(encoding.ids, dtype=np.int32), starts=array[:, 0], ends=array[:, 1]
        )
