"""The pipeline's way from logits to an answer, in steps that can be left out.

Written from reading `pipelines/question_answering.py` of transformers 4.57, to compute which step
makes its answer another one than ours. With top_k=1 and a fast tokenizer it does this:

- In each window, start and end logits become probabilities by a softmax each, over the context
  tokens and [CLS]; then [CLS] gets 0. A pair of tokens scores the product of its two.
- Of each window it takes the best pair, or the best 12 with `align_to_words`.
- With `align_to_words`, a pair is widened to whole words, as far as its window holds them.
- Pairs whose texts are equal but for case become one: it keeps the place of the first found, and
  their scores are summed, within a window and over windows.
- The highest score is the answer, of equal ones the first found.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from transformers import BertTokenizerFast

from parity.recipe import MAX_ANSWER_TOKENS, Place, Window, question_windows
from parity.reference import Floats, Logits, Prepared
from spanqa_server.qa.tokenizer import TokenizedText

CANDIDATES_WITH_WORDS = 12

Doubles = npt.NDArray[np.float64]


@dataclass(slots=True)
class Scored:
    """An answer at code points [start, end); sums may lift its score above 1."""

    place: Place
    score: float


def follow(
    windows: list[Window], context: str, *, candidates: int = 1, sum_equal_texts: bool = False
) -> list[Scored]:
    """The answers, best first; whole words where the windows' offsets are those of words."""
    found: list[Scored] = []
    by_text: dict[str, Scored] = {}
    for window in windows:
        for place, score in likeliest_pairs(window, candidates):
            text = context[slice(*place)].lower()
            if sum_equal_texts and text in by_text:
                by_text[text].score += score
            else:
                found.append(Scored(place, score))
                by_text[text] = found[-1]
    return sorted(found, key=lambda answer: -answer.score)


def likeliest_pairs(window: Window, count: int) -> Iterator[tuple[Place, float]]:
    """The `count` pairs of one window with the highest probability, best first."""
    starts, ends = probabilities(window, window.starts), probabilities(window, window.ends)
    products = np.tril(np.triu(np.outer(starts, ends)), MAX_ANSWER_TOKENS - 1).ravel()
    best = np.argpartition(-products, min(count, len(products) - 1))[:count]
    for pair in best[np.lexsort((best, -products[best]))].tolist():
        first, last = (window.offsets[token] for token in divmod(pair, len(starts)))
        if products[pair] > 0 and first and last:
            yield (first[0], last[1]), float(products[pair])


def probabilities(window: Window, logits: Floats) -> Doubles:
    """Softmax over context tokens and [CLS]; 0 for [CLS] and all else."""
    context = np.array([place is not None for place in window.offsets])
    weights = np.exp(logits.astype(np.float64) - logits.max())
    total = weights[context].sum() + weights[0]
    return np.where(context, weights / total, 0.0)


def word_windows(
    prepared: Prepared, logits: Logits, context: str, tokenizer: BertTokenizerFast
) -> list[Window]:
    """A question's windows with the offsets of words; the context must have a token."""
    encoding = tokenizer(context, add_special_tokens=False, verbose=False)
    places = [encoding.word_to_chars(word) for word in encoding.word_ids()]
    words = TokenizedText(
        prepared.context.ids,
        np.array([place.start for place in places], dtype=np.int64),
        np.array([place.end for place in places], dtype=np.int64),
    )
    plan = zip(prepared.plan.starts.tolist(), prepared.plan.ends.tolist(), strict=True)
    windows = question_windows(replace(prepared, context=words), logits)
    return [
        clip(window, prepared.context, first, last)
        for window, (first, last) in zip(windows, plan, strict=True)
    ]


def clip(window: Window, tokens: TokenizedText, first: int, last: int) -> Window:
    """Cut off what of a word the context tokens [first, last) do not hold."""
    start, end = int(tokens.starts[first]), int(tokens.ends[last - 1])
    offsets = [place and (max(place[0], start), min(place[1], end)) for place in window.offsets]
    return replace(window, offsets=offsets)
