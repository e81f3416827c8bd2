"""The best spans that do not overlap: greedily, the best one first, over all windows.

After a span is chosen, every span that shares a character with it is out, in whichever window.
The rows (a row: one start in one window) wait in a heap, by the best span that each may still
have. If the first one's span overlaps a chosen one, the row goes back with the best of its shorter
spans, or is done. A first span without an overlap is the best of all that are left.
"""

from bisect import bisect_right
from collections import Counter
from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

import numpy as np

from spanqa_server.qa.bands import BandTable, Floats, Integers
from spanqa_server.qa.ranking import Span, Total, span_of

# Rows that are read at first, for each span that is asked for.
ROWS_A_SPAN = 4


class Candidate(NamedTuple):
    """The best span that a row may still have; the least goes first."""

    minus_score: float
    start: int
    end: int
    window: int
    column: int
    end_column: int


class Rows:
    """The rows that have been read, in a heap, and a bound of those that have not."""

    def __init__(
        self, table: BandTable, row_best: Floats, token_starts: Integers, token_ends: Integers
    ) -> None:
        self.heap: list[Candidate] = []
        self._table = table
        self._left = row_best.ravel().copy()
        self._token_starts, self._token_ends = token_starts, token_ends
        self._first_unread: tuple[float, int] = (-np.inf, -1)

    def first(self, count: int) -> Candidate | None:
        """The first of all; reads some `count` rows more as long as an unread one may be it."""
        while not self.heap or self.heap[0][:2] >= self._first_unread:
            if self._first_unread[0] == np.inf:
                break
            self._read(count)
            count *= 2
        return self.heap[0] if self.heap else None

    def shorten(self, limit: int) -> None:
        """Let the first row go on with its best span that ends at `limit` or before it."""
        _, start, _, window, column, _ = self.heap[0]
        first = int(self._table.plan.starts[window]) + column
        ends = self._token_ends[first : first + self._table.width].tolist()
        logits = self._table.ends[window, column : column + len(ends)].tolist()
        best, offset = -np.inf, 0
        for at, (end, logit) in enumerate(zip(ends, logits, strict=True)):
            if end <= limit and logit > best:
                best, offset = logit, at
        if best == -np.inf:
            heappop(self.heap)
            return
        score = float(self._table.starts[window, column]) + best
        shorter = Candidate(-score, start, ends[offset], window, column, column + offset)
        heapreplace(self.heap, shorter)

    def _read(self, count: int) -> None:
        """Read the next rows in order: some `count`, or fewer if there are no more."""
        rows = np.flatnonzero(self._left > -np.inf)
        if len(rows) > count:
            bests = self._left[rows]
            rows = rows[bests >= np.partition(bests, len(bests) - count)[len(bests) - count]]
        if len(rows) > 2 * count:  # many are equal
            rows = rows[np.lexsort((self._starts_of(rows), -self._left[rows]))[:count]]
        self._push(rows)
        self._left[rows] = -np.inf
        best = self._left.max()
        equal = np.flatnonzero(self._left == best) if best > -np.inf else rows[:0]
        self._first_unread = (-float(best), int(self._starts_of(equal).min()) if len(equal) else -1)

    def _push(self, rows: Integers) -> None:
        windows, columns = np.divmod(rows, self._table.starts.shape[1])
        offsets = np.array(
            [
                self._table.ends[window, column : column + self._table.width].argmax()
                for window, column in zip(windows.tolist(), columns.tolist(), strict=True)
            ],
            dtype=np.int64,
        )
        scores = self._table.starts[windows, columns] + self._table.ends[windows, columns + offsets]
        ends = self._token_ends[self._table.plan.starts[windows] + columns + offsets]
        columns_of = (-scores, self._starts_of(rows), ends, windows, columns, columns + offsets)
        self.heap += map(Candidate._make, zip(*(one.tolist() for one in columns_of), strict=True))
        heapify(self.heap)

    def _starts_of(self, rows: Integers) -> Integers:
        windows, columns = np.divmod(rows, self._table.starts.shape[1])
        starts: Integers = self._token_starts[self._table.plan.starts[windows] + columns]
        return starts


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
    rows = Rows(table, row_best, token_starts, token_ends)
    documents = first_windows.tolist()
    chosen: list[Span] = []
    places: list[tuple[int, int]] = []
    counts: Counter[int] = Counter()
    while len(chosen) < top_k and (first := rows.first(ROWS_A_SPAN * top_k)):
        _, start, end, window, column, end_column = first
        after = bisect_right(places, (start, np.inf))
        document = bisect_right(documents, window)
        if counts[document] == most_of_one or (after and places[after - 1][1] > start):
            heappop(rows.heap)
        elif after < len(places) and places[after][0] < end:
            rows.shorten(places[after][0])
        else:
            logits = float(table.starts[window, column]), float(table.ends[window, end_column])
            chosen.append(span_of(total, start, end, *logits))
            places.insert(after, (start, end))
            counts[document] += 1
            heappop(rows.heap)
    return chosen
