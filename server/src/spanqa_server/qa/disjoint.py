"""The best spans that do not overlap: greedily, the best one first, over all windows.

After a span is chosen, every span that shares a character with it is out, in whichever window.
The rows (a row: one start in one window) come in the order of their best spans. If a row's span
overlaps a chosen one, the row waits in a heap with the best of its shorter spans, or is done. The
first of both without an overlap is the best of all that are left.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from heapq import heappop, heappush

import numpy as np

from spanqa_server.qa.bands import BandTable, Floats, Integers
from spanqa_server.qa.ranking import Span, Total, span_of

# Rows that are read at first, for each span that is asked for; and at most at a time.
ROWS_A_SPAN, MOST_ROWS = 4, 8192

# A row's best span: -score, start, end, the row's window and first token, and how many more it has.
Candidate = tuple[float, int, int, int, int, int]
NO_MORE: Candidate = (np.inf, 0, 0, 0, 0, 0)


def disjoint_spans(
    table: BandTable,
    row_best: Floats,
    token_starts: Integers,
    token_ends: Integers,
    top_k: int,
    total: Total,
    first_windows: Integers,
    most_of_one: int,
) -> list[Span]:
    """At most `top_k` spans in order, none of which shares a character with one before it.

    Args:
        table, row_best: the logits, and the best score of each row; -inf where it has none.
        token_starts, token_ends: [n], code points of each context token.
        top_k: how many spans at most, ≥ 1.
        total: the sum for their probabilities.
        first_windows: [D], the first window of each document.
        most_of_one: how many spans of a document at most, ≥ 1.
    """
    rows = rows_in_order(table, row_best, token_starts, token_ends, ROWS_A_SPAN * top_k)
    next_row = next(rows, NO_MORE)
    shortened: list[Candidate] = []
    reader = SpanReader(table, token_ends)
    taken = TakenTokens(token_starts, token_ends)
    documents, counts = first_windows.tolist(), Counter[int]()
    is_limited = most_of_one < top_k
    spans: list[Span] = []
    while len(spans) < top_k:
        if shortened and shortened[0] < next_row:
            candidate = heappop(shortened)
        elif next_row is NO_MORE:
            break
        else:
            candidate, next_row = next_row, next(rows, NO_MORE)
        _, _, _, window, first, more = candidate
        if is_limited and counts[bisect_right(documents, window)] == most_of_one:
            continue
        overlap = taken.flags.find(1, first, first + more + 1)
        if overlap < 0:
            taken.add(candidate)
            if is_limited:
                counts[bisect_right(documents, window)] += 1
            spans.append(reader.span(candidate, total))
        elif overlap > first and (shorter := reader.shortened(candidate, overlap - first)):
            heappush(shortened, shorter)
    return spans


def rows_in_order(
    table: BandTable, row_best: Floats, token_starts: Integers, token_ends: Integers, count: int
) -> Iterator[Candidate]:
    """Each row's best span, in order; some `count` rows are read at first, later ever more."""
    left = row_best.ravel().copy()
    least = np.inf
    while least > -np.inf:
        least = np.partition(left, -count)[-count] if len(left) > count else -np.inf
        # With all that are equal to the last one, so that none of the next goes before it.
        rows = np.flatnonzero(left >= least if least > -np.inf else left > least)
        windows, columns = np.divmod(rows, table.starts.shape[1])
        offsets = best_ends(table, windows, columns)
        firsts = table.plan.starts[windows] + columns
        starts, ends = token_starts[firsts], token_ends[firsts + offsets]
        columns_of = (-left[rows], starts, ends, windows, firsts, offsets)
        order = np.lexsort(columns_of[2::-1])
        for begin in range(0, len(order), MOST_ROWS):
            some = order[begin : begin + MOST_ROWS]
            yield from zip(*(values[some].tolist() for values in columns_of), strict=True)
        left[rows] = -np.inf
        count = min(2 * count, MOST_ROWS)


def best_ends(table: BandTable, windows: Integers, columns: Integers) -> Integers:
    """Which of the ends that each row can go with is its best, the first one of equal ones."""
    shape, step = (*table.starts.shape, table.width), table.ends.strides[0]
    bands: Floats = np.ndarray(shape, np.float64, table.ends, strides=(step, 8, 8))
    parts = [slice(at, at + MOST_ROWS) for at in range(0, len(windows), MOST_ROWS)]
    best = [bands[windows[part], columns[part]].argmax(axis=1) for part in parts]
    return best[0] if len(best) == 1 else np.concatenate(best or [windows])


class TakenTokens:
    """The tokens that share a character with a chosen span."""

    def __init__(self, token_starts: Integers, token_ends: Integers) -> None:
        # 1 where a token is taken.
        self.flags = bytearray(len(token_starts))
        self._starts, self._ends = token_starts, token_ends

    def add(self, candidate: Candidate) -> None:
        _, start, end, _, first, more = candidate
        after = first + more + 1
        while first and self._ends.item(first - 1) > start:
            first -= 1
        while after < len(self.flags) and self._starts.item(after) < end:
            after += 1
        self.flags[first:after] = b"\1" * (after - first)


class SpanReader:
    """Reads spans off the logits."""

    def __init__(self, table: BandTable, token_ends: Integers) -> None:
        self._table, self._token_ends = table, token_ends
        self._window_starts: list[int] = table.plan.starts.tolist()
        # The end logits of windows, once a row of theirs is shortened.
        self._ends: dict[int, list[float]] = {}

    def span(self, candidate: Candidate, total: Total) -> Span:
        _, start, end, window, first, more = candidate
        column = first - self._window_starts[window]
        start_logit = self._table.starts.item(window, column)
        return span_of(total, start, end, start_logit, self._table.ends.item(window, column + more))

    def shortened(self, candidate: Candidate, length: int) -> Candidate | None:
        """The best of the row's spans of at most `length` tokens; None where it has none."""
        _, start, _, window, first, _ = candidate
        if window not in self._ends:
            self._ends[window] = self._table.ends[window].tolist()
        column = first - self._window_starts[window]
        logits = self._ends[window][column : column + length]
        # Of so few floats Python finds the largest sooner than numpy does.
        largest = max(logits)
        score = self._table.starts.item(window, column) + largest
        if score == -np.inf:
            return None
        more = logits.index(largest)
        return -score, start, self._token_ends.item(first + more), window, first, more
