"""The best spans in order, read off the few rows that can hold them.

A row is one start in one window, with the band of ends that it can go with.
"""

import itertools
import math
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from spanqa_server.qa.bands import BandTable, Floats, Integers
from spanqa_server.qa.windows import WindowPlan

# Rows with equal bests that are compared one by one.
FEW_ROWS = 8


class Span(NamedTuple):
    """An admissible span: code points [start, end) of the context."""

    start: int
    end: int
    score: float
    probability: float
    start_logit: float
    end_logit: float


@dataclass(frozen=True, slots=True)
class Total:
    """Σ exp(score) over all alternatives, as exp(anchor) · exp(log_rest).

    Kept apart, because beside a huge anchor the rest would round away.
    """

    anchor: float
    log_rest: float

    def plus(self, score: float) -> "Total":
        return Total(self.anchor, float(np.logaddexp(self.log_rest, score - self.anchor)))

    def probability(self, score: float) -> float:
        return min(1.0, math.exp(score - self.anchor - self.log_rest))


def best_spans(
    table: BandTable,
    row_best: Floats,
    token_starts: Integers,
    token_ends: Integers,
    top_k: int,
    total: Total,
) -> list[Span]:
    """Read the best spans off the few rows (a row: one start in one window) that can hold them.

    Begin with the `top_k` rows whose best spans score highest. If they hold fewer than `top_k`
    distinct spans, since some are equal (from two windows, or with the same code points), take
    twice as many rows. If they hold enough, look whether the best span of another row ranks
    before the last of them; if so, read all rows that may compete.
    """
    best_of = row_best.ravel()
    if best_of.max() == -np.inf:
        return []
    if top_k == 1 and len(rows := np.flatnonzero(best_of == best_of.max())) <= FEW_ROWS:
        return best_span(table, rows, token_starts, token_ends, total)
    possible = int(np.count_nonzero(best_of > -np.inf))
    take = min(top_k, possible)
    while True:
        rows = best_rows(best_of, take)
        spans = read_rows(table, rows, token_starts, token_ends, top_k, total)
        if len(spans) == top_k:
            competing = competing_rows(table, best_of, token_starts, spans[-1])
            if set(competing.tolist()) <= set(rows.tolist()):
                return spans
            return read_rows(table, competing, token_starts, token_ends, top_k, total)
        if take == possible:
            return spans
        take = min(2 * take, possible)


def best_spans_of_each(
    table: BandTable,
    row_best: Floats,
    token_starts: Integers,
    token_ends: Integers,
    most: int,
    total: Total,
    first_windows: Integers,
) -> list[Span]:
    """The `most` best spans of each document, all in order; `first_windows` as for `decode`."""
    spans: list[Span] = []
    bounds = [*first_windows.tolist(), len(row_best)]
    for first, last in itertools.pairwise(bounds):
        plan = WindowPlan(table.plan.starts[first:last], table.plan.ends[first:last])
        own = BandTable(plan, table.width, table.starts[first:last], table.ends[first:last])
        spans += best_spans(own, row_best[first:last], token_starts, token_ends, most, total)
    return sorted(spans, key=lambda span: (-span.score, span.start, span.end))


def best_span(
    table: BandTable, rows: Integers, token_starts: Integers, token_ends: Integers, total: Total
) -> list[Span]:
    """The first of the best spans, which begin in these rows."""
    found = []
    for row in rows.tolist():
        window, column = divmod(row, table.starts.shape[1])
        start_logit = float(table.starts[window, column])
        offset = int(table.ends[window, column : column + table.width].argmax())
        end_logit = float(table.ends[window, column + offset])
        first = int(table.plan.starts[window]) + column
        place = int(token_starts[first]), int(token_ends[first + offset])
        found.append((*place, start_logit, end_logit))
    return [span_of(total, *min(found, key=itemgetter(0, 1)))]


def span_of(total: Total, start: int, end: int, start_logit: float, end_logit: float) -> Span:
    score = start_logit + end_logit
    return Span(start, end, score, total.probability(score), start_logit, end_logit)


def best_rows(best_of: Floats, count: int) -> Integers:
    """The `count` rows with the best bests, the first ones where bests are equal."""
    if count == 1:
        return np.array([best_of.argmax()])
    least = np.partition(best_of, len(best_of) - count)[len(best_of) - count]
    above = np.flatnonzero(best_of > least)
    equal = np.flatnonzero(best_of == least)
    return np.sort(np.concatenate((above, equal[: count - len(above)])))


def competing_rows(
    table: BandTable, best_of: Floats, token_starts: Integers, worst: Span
) -> Integers:
    """The rows that may hold a span that ranks with or before `worst`."""
    rows = np.flatnonzero(best_of >= worst.score)
    windows, columns = np.divmod(rows, table.starts.shape[1])
    starts = token_starts[table.plan.starts[windows] + columns]
    competing: Integers = rows[(best_of[rows] > worst.score) | (starts <= worst.start)]
    return competing


def read_rows(
    table: BandTable,
    rows: Integers,
    token_starts: Integers,
    token_ends: Integers,
    top_k: int,
    total: Total,
) -> list[Span]:
    """The best distinct spans of these rows, in order."""
    windows, columns = np.divmod(rows, table.starts.shape[1])
    end_columns = columns[:, None] + np.arange(table.width)
    start_logits = np.repeat(table.starts[windows, columns], table.width)
    end_logits = table.ends[windows[:, None], end_columns].ravel()
    scores = start_logits + end_logits
    firsts = np.repeat(table.plan.starts[windows], table.width)
    # Twice as many, since a span may be found in two windows.
    for enough in (2 * top_k, len(scores)):
        if enough < len(scores):
            least = np.partition(scores, len(scores) - enough)[len(scores) - enough]
            at = np.flatnonzero((scores >= least) & (scores > -np.inf))
        else:
            at = np.flatnonzero(scores > -np.inf)
        first = firsts[at]
        row, offset = np.divmod(at, table.width)
        start = token_starts[first + columns[row]]
        end = token_ends[first + columns[row] + offset]
        order = np.lexsort((end, start, -scores[at]))
        columns_of = (start, end, start_logits[at], end_logits[at])
        spans: dict[tuple[int, int], Span] = {}
        for found in zip(*(values[order].tolist() for values in columns_of), strict=True):
            if found[:2] not in spans:
                spans[found[:2]] = span_of(total, *found)
                if len(spans) == top_k:
                    return list(spans.values())
    return list(spans.values())
