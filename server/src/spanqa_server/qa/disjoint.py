"""The best spans that do not overlap: greedily, the best one first, over all windows.

After a span is chosen, every span that shares a character with it is out, in whichever window.
The rows (a row: one start in one window) wait in a heap, by the best span that each may still
have. If the first one's span overlaps a chosen one, the row goes back with the best of its shorter
spans, or is done. A first span without an overlap is the best of all that are left.
"""

from bisect import bisect_right
from collections import Counter
from heapq import heapify, heappop, heapreplace

import numpy as np

from spanqa_server.qa.bands import BandTable, Floats, Integers
from spanqa_server.qa.ranking import Span, Total, span_of

# Rows that are read at first, for each span that is asked for; and at most at a time.
ROWS_A_SPAN, MOST_ROWS = 4, 8192

# A row's best span: -score, start, end, the row's number, and which of its ends it is.
Candidate = tuple[float, int, int, int, int]


class Rows:
    """The rows that have been read, in a heap, and a bound of those that have not."""

    def __init__(
        self, table: BandTable, row_best: Floats, token_starts: Integers, token_ends: Integers
    ) -> None:
        self.heap: list[Candidate] = []
        # No row that has not been read goes before this, where its score is equal.
        self.bound = -np.inf
        self._table = table
        self._columns = table.starts.shape[1]
        self._left = row_best.ravel().copy()
        self._token_starts, self._token_ends = token_starts, token_ends

    def read_until_first(self, count: int) -> None:
        """Read on, some `count` rows at first, until what is first in the heap is first of all."""
        while (not self.heap or self.heap[0][0] >= self.bound) and self.bound < np.inf:
            if self.heap and self.heap[0][:2] < (self.bound, self._first_start()):
                return
            self._read(count)
            count = min(2 * count, MOST_ROWS)

    def shorten(self, limit: int) -> None:
        """Let the first row go on with its best span that ends at `limit` or before it."""
        _, start, _, row, _ = self.heap[0]
        window, column = divmod(row, self._columns)
        table = self._table
        first = int(table.plan.starts[window]) + column
        last = min(first + table.width, len(self._token_ends))
        in_time = bisect_right(self._token_ends, limit, first, last) - first
        if in_time > 0:
            logits = table.ends[window, column : column + in_time]
            offset = int(logits.argmax())
            score = float(table.starts[window, column] + logits[offset])
            if score > -np.inf:
                end = int(self._token_ends[first + offset])
                heapreplace(self.heap, (-score, start, end, row, offset))
                return
        heappop(self.heap)

    def logits(self, row: int, offset: int) -> tuple[float, float]:
        """Start logit and end logit of a span."""
        window, column = divmod(row, self._columns)
        ends = self._table.ends[window, column + offset]
        return float(self._table.starts[window, column]), float(ends)

    def _read(self, count: int) -> None:
        """Read the next rows in order: some `count`, or fewer if there are no more."""
        left = self._left
        if len(left) > count:
            least = np.partition(left, len(left) - count)[len(left) - count]
            rows = np.flatnonzero(left >= least if least > -np.inf else left > least)
        else:
            rows = np.flatnonzero(left > -np.inf)
        if len(rows) > 2 * count:  # many are equal
            rows = rows[np.lexsort((self._starts_of(rows), -left[rows]))[:count]]
        windows, columns = np.divmod(rows, self._columns)
        places = columns[:, None] + np.arange(self._table.width)
        offsets = self._table.ends[windows[:, None], places].argmax(axis=1)
        firsts = self._table.plan.starts[windows] + columns
        starts, ends = self._token_starts[firsts], self._token_ends[firsts + offsets]
        read = ((-left[rows]).tolist(), starts.tolist(), ends.tolist(), rows.tolist())
        self.heap += zip(*read, offsets.tolist(), strict=True)
        heapify(self.heap)
        left[rows] = -np.inf
        self.bound = -float(left.max())

    def _first_start(self) -> int:
        """The least start of the rows that come next."""
        return int(self._starts_of(np.flatnonzero(self._left == -self.bound)).min())

    def _starts_of(self, rows: Integers) -> Integers:
        windows, columns = np.divmod(rows, self._columns)
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
    heap, columns, documents = rows.heap, table.starts.shape[1], first_windows.tolist()
    chosen: list[Span] = []
    starts: list[int] = []
    ends: list[int] = []
    counts: Counter[int] = Counter()
    while len(chosen) < top_k:
        if not heap or heap[0][0] >= rows.bound:
            rows.read_until_first(ROWS_A_SPAN * top_k)
            if not heap:
                break
        _, start, end, row, offset = heap[0]
        after = bisect_right(starts, start)
        document = bisect_right(documents, row // columns) if most_of_one < top_k else 0
        if (after and ends[after - 1] > start) or counts[document] == most_of_one:
            heappop(heap)
        elif after < len(starts) and starts[after] < end:
            rows.shorten(starts[after])
        else:
            chosen.append(span_of(total, start, end, *rows.logits(row, offset)))
            starts.insert(after, start)
            ends.insert(after, end)
            counts[document] += 1
            heappop(heap)
    return chosen
