"""The exact best spans over all windows, and their probabilities.

A span (i, j) of context tokens is admissible when i ≤ j < i + max_answer_tokens and some
window holds both. Its score is start logit i + end logit j in that window; where several
windows hold it, the best of them. So a span counts once, in the ranking and in the sum
that turns scores into probabilities:

    probability(span) = exp(score(span)) / Σ exp(score(s)) over all admissible spans s

("no answer" is one more term of the sum where it is allowed). Both need the tokens once
and a band of max_answer_tokens beside each of them, never a window's L × L matrix.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spanqa_server.qa.bands import BandTable, Integers, band, band_table, sliding_max, sliding_sum
from spanqa_server.qa.disjoint import disjoint_spans
from spanqa_server.qa.ranking import Span, Total, best_spans, best_spans_of_each
from spanqa_server.qa.windows import WindowPlan

# Beyond this gap products of exponentials would underflow (exp(-745) is 0 in float64).
SAFE_GAP = 600.0
ONE_DOCUMENT = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The best spans, best first, and "no answer" (all 0 and false if not asked for)."""

    spans: list[Span]
    no_answer: bool
    null_score: float
    null_probability: float


def decode(
    start_logits: npt.NDArray[np.float32],
    end_logits: npt.NDArray[np.float32],
    plan: WindowPlan,
    head: int,
    token_starts: Integers,
    token_ends: Integers,
    *,
    top_k: int,
    max_answer_tokens: int,
    no_answer_threshold: float | None = None,
    first_windows: Integers = ONE_DOCUMENT,
    max_per_document: int | None = None,
    allow_overlap: bool = False,
) -> Decoded:
    """Find the true best `top_k` spans, by (score ↓, start ↑, end ↑), greedily without overlap.

    Args:
        start_logits, end_logits: [T], all windows end to end, as the model gave them.
        plan: which context tokens each of the W windows holds.
        head: tokens of a window before its context tokens; one follows them.
        token_starts, token_ends: [n], code points of each context token. Tokens without
            any (start ≥ end) neither start nor end a span.
        top_k: how many spans at most, ≥ 1.
        max_answer_tokens: the longest span in tokens, ≥ 1.
        no_answer_threshold: None, or count "no answer" among the alternatives. Its score is
            the start logit + end logit of [CLS], the lowest of all windows, as in the SQuAD
            v2 recipe. In a document where it exceeds the best span's by more than the
            threshold no span is an answer.
        first_windows: [D], the first window of each document. Documents share no token.
        max_per_document: how many spans of a document at most, ≥ 1; None: no limit.
        allow_overlap: whether spans may share characters; else each is the best of those that
            share none with the spans before it. Either way they are distinct.
    """
    lengths = plan.ends - plan.starts
    begins = np.cumsum(lengths + head + 1) - lengths - 1
    table = band_table(
        start_logits, end_logits, plan, begins, max_answer_tokens, token_ends <= token_starts
    )
    row_best = table.starts + sliding_max(table.ends, table.width)
    total = sum_of_spans(table, float(row_best.max()))
    null_score = null_probability = 0.0
    no_answer = False
    if no_answer_threshold is not None:
        cls = begins - head
        null_scores = start_logits[cls].astype(np.float64) + end_logits[cls]
        null_score = float(null_scores.min())
        total = total.plus(null_score)
        null_probability = total.probability(null_score)
        best = np.maximum.reduceat(row_best.max(axis=1), first_windows)
        null_wins = np.minimum.reduceat(null_scores, first_windows) - best > no_answer_threshold
        no_answer = bool(null_wins.all())
        row_best[np.repeat(null_wins, np.diff(first_windows, append=len(plan)))] = -np.inf
    places = token_starts, token_ends
    if top_k == 1 or (allow_overlap and max_per_document is None):
        spans = best_spans(table, row_best, *places, top_k, total)
    elif allow_overlap:
        most = min(top_k, max_per_document or top_k)
        found = best_spans_of_each(table, row_best, *places, most, total, first_windows)
        spans = found[:top_k]
    else:
        most_of_one = max_per_document or top_k
        spans = disjoint_spans(table, row_best, *places, top_k, total, first_windows, most_of_one)
    return Decoded(spans, no_answer, null_score, null_probability)


def sum_of_spans(table: BandTable, best: float) -> Total:
    """Σ exp(score) over all admissible spans, each once with its best score.

    Windows are walked in order. Rows (starts) that the next window holds too are carried
    over to it, where the larger term of each span is kept.
    """
    if best == -math.inf:
        return Total(0.0, -math.inf)
    shift_starts, shift_ends = float(table.starts.max()), float(table.ends.max())
    scale = shift_starts + shift_ends - best
    safe = scale <= SAFE_GAP
    exp_starts, exp_ends = np.exp(table.starts - shift_starts), np.exp(table.ends - shift_ends)
    if safe and len(exp_starts) == 1:  # no span in two windows
        terms = exp_starts * sliding_sum(exp_ends, table.width)
        return Total(best, math.log(float(terms.sum())) + scale)
    window_starts = table.plan.starts.tolist()
    window_ends = table.plan.ends.tolist()
    total, carried = 0.0, np.empty((0, table.width))
    for row, (begin, end) in enumerate(zip(window_starts, window_ends, strict=True)):
        length = end - begin
        if safe:
            terms = exp_starts[row, :length, None] * band(exp_ends[row], length, table.width)
        else:
            scores = table.starts[row, :length, None] + band(table.ends[row], length, table.width)
            terms = np.exp(scores - best)
        shared = len(carried)
        np.maximum(terms[:shared], carried, out=terms[:shared])
        last = row + 1 == len(window_starts)
        finished = length if last else window_starts[row + 1] - begin
        total += float(terms[:finished].sum())
        carried = terms[finished:]
    return Total(best, math.log(total) + (scale if safe else 0.0))
