"""Several texts laid end to end, so that one decoder ranks the spans of all of them."""

from dataclasses import dataclass

import numpy as np

from spanqa_server.qa.offsets import Integers
from spanqa_server.qa.tokenizer import TokenizedText
from spanqa_server.qa.windows import WindowPlan, plan_windows


@dataclass(frozen=True, slots=True)
class Layout:
    """The tokens of D texts as if of one, cut into W windows that never span two texts.

    `tokens`: their places count code points of the texts end to end. `bases` int64 [D]: where
    each text begins there. `first_windows` int64: the first window of each text that has any.
    """

    tokens: TokenizedText
    bases: Integers
    plan: WindowPlan
    first_windows: Integers

    def text_at(self, place: int) -> int:
        """Which text a place, in code points of all texts, is in."""
        return int(np.searchsorted(self.bases, place, side="right")) - 1


def lay_out(
    texts: tuple[str, ...], tokenized: list[TokenizedText], room: int, doc_stride: int
) -> Layout:
    """Lay the texts end to end; at least one must have a token."""
    bases = begins_of([len(text) for text in texts])
    if len(texts) == 1:
        plan = plan_windows(len(tokenized[0]), room, doc_stride)
        return Layout(tokenized[0], bases, plan, bases)
    firsts = begins_of([len(tokens) for tokens in tokenized]).tolist()
    plans = [
        WindowPlan(plan.starts + first, plan.ends + first)
        for tokens, first in zip(tokenized, firsts, strict=True)
        if len(tokens)
        for plan in [plan_windows(len(tokens), room, doc_stride)]
    ]
    offsets = bases.tolist()
    return Layout(
        TokenizedText(
            ids=np.concatenate([tokens.ids for tokens in tokenized]),
            starts=np.concatenate([t.starts + b for t, b in zip(tokenized, offsets, strict=True)]),
            ends=np.concatenate([t.ends + b for t, b in zip(tokenized, offsets, strict=True)]),
        ),
        bases,
        WindowPlan(
            np.concatenate([plan.starts for plan in plans]),
            np.concatenate([plan.ends for plan in plans]),
        ),
        begins_of([len(plan) for plan in plans]),
    )


def begins_of(lengths: list[int]) -> Integers:
    """Where each of several things of these lengths begins, laid end to end."""
    sizes = np.array(lengths, dtype=np.int64)
    begins: Integers = np.cumsum(sizes) - sizes
    return begins
