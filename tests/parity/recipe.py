"""From logits to an answer as the fine-tuning recipe does it, written from its description.

The facts are those of `run_qa.py` and `utils_qa.py` in the folder
`examples/pytorch/question-answering` of huggingface/transformers, with their defaults:

- Of each window the 20 best starts and the 20 best ends by logit, over all its tokens (so
  question and special tokens take places too), the best first.
- All pairs of them, but those that touch a token outside the context, those that end before
  they start, and those of more than 30 tokens. A pair's score is the sum of its two logits, in
  the logits' own precision (float32).
- The 20 best pairs of all windows. Sorting them is stable: of equal ones the first found wins,
  by window, then by place among the best starts, then among the best ends.
- The best pair is the answer: the context from its first token's first character to its last
  token's last one. Where there is no pair at all, the answer is the word "empty".
- SQuAD v2: "no answer" scores start + end logit of [CLS], the lowest of all windows. It is the
  answer where that, less the best pair's start logit, less its end logit, is above a threshold.

Two things the recipe leaves open. It sorts logits with `numpy.argsort`, which promises no order
among equal ones; here the sort is stable, and since the recipe reads it backwards, the later
token comes first. It pads windows to 384 tokens unless told otherwise, and the padding's logits
take part in the best 20; here there is no padding, which is its `pad_to_max_length=False` with
one window a batch.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parity.reference import Floats, Logits, Prepared

N_BEST = 20
MAX_ANSWER_TOKENS = 30
NO_PAIR_TEXT = "empty"
NOWHERE = (-1, -1)

Place = tuple[int, int]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Window:
    """Logits of one window, float32 [L] each.

    `offsets` [L]: where each token lies in the context, in code points; None outside of it.
    """

    starts: Floats
    ends: Floats
    offsets: list[Place | None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pair of tokens: code points [start, end) of the context, and its logits."""

    start: int
    end: int
    start_logit: np.float32
    end_logit: np.float32

    @property
    def score(self) -> np.float32:
        return self.start_logit + self.end_logit

    @property
    def place(self) -> Place:
        return self.start, self.end


@dataclass(frozen=True, slots=True)
class Verdict:
    """SQuAD v2: the best pair if any, and by how much "no answer" is better than it."""

    best: Candidate | None
    null_score: np.float32
    lead: np.float32
    no_answer: bool


def question_windows(prepared: Prepared, logits: Logits) -> list[Window]:
    """Cut a question's packed logits into its windows."""
    tokens = list(
        zip(prepared.context.starts.tolist(), prepared.context.ends.tolist(), strict=True)
    )
    plan = zip(prepared.plan.starts.tolist(), prepared.plan.ends.tolist(), strict=True)
    windows, begin = [], 0
    for first, last in plan:
        offsets = [*[None] * prepared.head, *tokens[first:last], None]
        piece = slice(begin, begin + len(offsets))
        windows.append(Window(logits.starts[piece], logits.ends[piece], offsets))
        begin += len(offsets)
    return windows


def best_indices(logits: Floats, count: int) -> Indices:
    """The `count` best, best first; of equal ones the later first."""
    return np.argsort(logits, kind="stable")[::-1][:count]


def pairs_of(window: Window, *, n_best: int, max_answer_tokens: int) -> list[Candidate]:
    """A window's admissible pairs, in the order in which the recipe finds them."""
    firsts, lasts = best_indices(window.starts, n_best), best_indices(window.ends, n_best)
    length = lasts - firsts[:, None] + 1
    begins, finishes = np.array([place or NOWHERE for place in window.offsets]).T
    admissible = (length >= 1) & (length <= max_answer_tokens)
    admissible &= (begins[firsts] >= 0)[:, None] & (begins[lasts] >= 0)
    rows, columns = np.nonzero(admissible)
    return [
        Candidate(int(begins[i]), int(finishes[j]), window.starts[i], window.ends[j])
        for i, j in zip(firsts[rows], lasts[columns], strict=True)
    ]


def best_pairs(
    windows: list[Window], *, n_best: int = N_BEST, max_answer_tokens: int = MAX_ANSWER_TOKENS
) -> list[Candidate]:
    """The `n_best` best pairs of all windows, best first."""
    found = [
        pair
        for window in windows
        for pair in pairs_of(window, n_best=n_best, max_answer_tokens=max_answer_tokens)
    ]
    return sorted(found, key=lambda pair: -pair.score)[:n_best]


def answer_text(windows: list[Window], context: str) -> str:
    """SQuAD v1: the text of the best pair."""
    pairs = best_pairs(windows)
    return context[pairs[0].start : pairs[0].end] if pairs else NO_PAIR_TEXT


def no_answer_verdict(windows: list[Window], threshold: float) -> Verdict:
    """SQuAD v2: whether "no answer" is better than the best pair by more than `threshold`.

    Pairs without text are passed over. Where no pair is left, the word "empty" stands in with
    two logits of 0.
    """
    null_score = min(window.starts[0] + window.ends[0] for window in windows)
    best = next((pair for pair in best_pairs(windows) if pair.start < pair.end), None)
    logits = (best.start_logit, best.end_logit) if best else (np.float32(0), np.float32(0))
    lead = null_score - logits[0] - logits[1]
    return Verdict(best, null_score, lead, bool(lead > threshold))
