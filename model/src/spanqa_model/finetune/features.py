"""Cuts windows from questions and contexts, and labels them with the tokens of the answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Encoding, Tokenizer
from tokenizers.processors import BertProcessing
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from spanqa.squad import Question
from spanqa_model.errors import DataError

Ints = npt.NDArray[np.int32]
SPECIAL_TOKENS = 3  # [CLS] question [SEP] context [SEP]
BATCH = 256  # questions tokenized at a time


@dataclass(frozen=True, slots=True)
class Window:
    """`[CLS] question [SEP] piece of the context [SEP]`.

    `ids` are vocabulary numbers, int32 [n]. `head` is the number of tokens before the piece.
    `starts` and `ends`, int32 [n - head - 1], are where the tokens of the piece lie in the context,
    half-open, in code points. `question` is the index of the question in the list.
    """

    question: int
    ids: Ints
    head: int
    starts: Ints
    ends: Ints


class Windows:
    """Cuts windows with a tokenizer, in the same way as the service.

    Args:
        tokenizer: the tokenizer of the checkpoint, which is copied.
        max_sequence_tokens: the length of the longest window.
        doc_stride_tokens: the tokens that neighbouring windows share.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, max_sequence_tokens: int, doc_stride_tokens: int
    ) -> None:
        self.max_sequence_tokens = max_sequence_tokens
        self.longest_question = max_sequence_tokens - SPECIAL_TOKENS - doc_stride_tokens - 1
        self._plain = copy_of(tokenizer)
        self._pairs = copy_of(tokenizer)
        self._pairs.post_processor = BertProcessing(
            ("[SEP]", tokenizer.token_to_id("[SEP]")), ("[CLS]", tokenizer.token_to_id("[CLS]"))
        )
        self._pairs.enable_truncation(
            max_sequence_tokens, stride=doc_stride_tokens, strategy="only_second"
        )

    def cut(
        self, questions: Sequence[Question], on_done: Callable[[int], None] = lambda _: None
    ) -> Iterator[Window]:
        """All windows of all questions, in order.

        Args:
            questions: the questions.
            on_done: called with the number of finished questions.

        Raises:
            DataError: a question leaves no room for the context.
        """
        for first in range(0, len(questions), BATCH):
            batch = questions[first : first + BATCH]
            self._check_lengths(batch)
            pairs = [(question.question, question.context) for question in batch]
            for index, encoding in enumerate(self._pairs.encode_batch(pairs), start=first):
                for part in (encoding, *encoding.overflowing):
                    yield make_window(index, part)
            on_done(first + len(batch))

    def _check_lengths(self, batch: Sequence[Question]) -> None:
        texts = [question.question for question in batch]
        encodings = self._plain.encode_batch(texts, add_special_tokens=False)
        for question, encoding in zip(batch, encodings, strict=True):
            if len(encoding.ids) > self.longest_question:
                raise DataError(
                    f"{question.place}question has {len(encoding.ids)} tokens; windows of "
                    f"{self.max_sequence_tokens} have room for {self.longest_question}: shorten "
                    "it, or raise --max-sequence-tokens"
                )


def copy_of(tokenizer: Tokenizer) -> Tokenizer:
    copied: Tokenizer = Tokenizer.from_str(tokenizer.to_str())
    copied.no_truncation()
    copied.no_padding()
    copied.encode_special_tokens = True  # "[SEP]" in a text is text
    return copied


def make_window(question: int, encoding: Encoding) -> Window:
    head = encoding.type_ids.index(1)
    offsets = np.array(encoding.offsets[head:-1], dtype=np.int32).reshape(-1, 2)
    ids = np.array(encoding.ids, dtype=np.int32)
    return Window(question, ids, head, offsets[:, 0], offsets[:, 1])


def label(window: Window, question: Question) -> tuple[int, int]:
    """First and last token of the answer in the window, or (0, 0), which is [CLS].

    (0, 0) labels a window that lacks the answer or holds only a part of it.
    """
    if question.answer_start is None or not question.answers:
        return 0, 0
    answer = question.answers[0]
    begin = question.answer_start + len(answer) - len(answer.lstrip())
    end = question.answer_start + len(answer.rstrip())
    if not len(window.ends) or begin < window.starts[0] or end > window.ends[-1]:
        return 0, 0
    first = int(np.searchsorted(window.ends, begin, side="right"))
    last = int(np.searchsorted(window.starts, end, side="left")) - 1
    if last < first:  # the answer is only characters that the tokenizer drops
        return 0, 0
    return window.head + first, window.head + last


def model_inputs(ids: Ints, head: int) -> dict[str, Tensor]:
    """`input_ids` and `token_type_ids` of one window, int64 [n]."""
    return {
        "input_ids": torch.from_numpy(ids).long(),
        "token_type_ids": (torch.arange(len(ids)) >= head).long(),
    }


class TrainingWindows(Dataset[dict[str, Tensor]]):
    """Windows with their labels, as inputs of the model."""

    def __init__(self, windows: Iterator[Window], questions: Sequence[Question]) -> None:
        self._ids: list[Ints] = []
        self._heads_and_labels: list[tuple[int, int, int]] = []
        for window in windows:
            self._ids.append(window.ids)
            self._heads_and_labels.append((window.head, *label(window, questions[window.question])))
        self.lengths = [len(ids) for ids in self._ids]

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        head, start, end = self._heads_and_labels[index]
        return model_inputs(self._ids[index], head) | {
            "start_positions": torch.tensor(start),
            "end_positions": torch.tensor(end),
        }


def collate(windows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Make a batch of B windows, padded to the longest one, of L tokens, and masked.

    Returns:
        `input_ids`, `token_type_ids` and `attention_mask`, int64 [B, L]; and all other tensors of
        the windows, [B].
    """
    batch = {name: [window[name] for window in windows] for name in windows[0]}
    ids, types = batch.pop("input_ids"), batch.pop("token_type_ids")
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "token_type_ids": pad_sequence(types, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(i) for i in ids], batch_first=True),
    } | {name: torch.stack(values) for name, values in batch.items()}
