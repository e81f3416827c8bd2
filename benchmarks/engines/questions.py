"""SQuAD questions, their windows as the service cuts them, and what logits are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from benchmarks.common.workload import questions
from benchmarks.engines.batches import Inputs, Logits
from spanqa.squad import Question
from spanqa_model.finetune.features import Window, Windows
from spanqa_model.finetune.scoring import WindowLogits, predict, score

MAX_LENGTH, STRIDE = 384, 128


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions and all their windows, in order."""

    questions: list[Question]
    windows: list[Window]

    @property
    def inputs(self) -> list[Inputs]:
        return [
            Inputs(one.ids, (np.arange(len(one.ids)) >= one.head).astype(np.int32))
            for one in self.windows
        ]


def ask(data: Path, checkpoint: Path, count: int, *, others: bool = False) -> Asked:
    """`count` questions evenly spread over a SQuAD file; `others` lie between those."""
    every = questions(data)
    offset = len(every) // (2 * count) if others else 0
    chosen = [every[at * len(every) // count + offset] for at in range(count)]
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    cutter = Windows(tokenizer, max_sequence_tokens=MAX_LENGTH, doc_stride_tokens=STRIDE)
    return Asked(chosen, list(cutter.cut(chosen)))


def accuracy(asked: Asked, logits: Sequence[Logits]) -> tuple[float, float]:
    """Exact match and F1 in percent, decoded as the fine-tuning recipe does."""
    values = [WindowLogits(one.starts, one.ends) for one in logits]
    predictions = predict(asked.questions, asked.windows, values, no_answer=False)
    scores = score(asked.questions, predictions)
    return scores["exact_match"], scores["f1"]


def difference(got: Sequence[Logits], want: Sequence[Logits]) -> tuple[float, float]:
    """Mean and greatest |Δ logit|."""
    delta = np.abs(flat(got) - flat(want))
    return float(delta.mean()), float(delta.max())


def flat(logits: Sequence[Logits]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.concatenate([part for one in logits for part in one], dtype=np.float64)
