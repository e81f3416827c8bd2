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

# A row's best span: -score, start, end, the row's window and column, and which of its ends it is.
Candidate = tuple[float, int, int, int, int, int]


class Rows:
    """The rows that have been read, in a heap, and a bound of those that have not."""

    def __init__(
        self, table: BandTable, row_best: Floats, token_starts: Integers, token_ends: Integers
    ) -> None:
        self.heap: list[Candidate] = []
        # No row that has not been read goes before this, where its score is equal.
        self.bound = -np.inf
        # Of each window: its first token, and its logits.
        self.firsts: list[int] = table.plan.starts.tolist()
        self._starts, self._ends = list(table.starts), list(table.ends)
        self._table = table
        windows, self._columns = table.starts.shape
        # [W, R, width], a view: the ends that each row can go with.
        self._bands: Floats = np.ndarray(
            (windows, self._columns, table.width),
            np.float64,
            table.ends,
            strides=(table.ends.strides[0], 8, 8),
        )
        self._left = row_best.ravel().copy()
        self._token_starts, self._token_ends = token_starts, token_ends

    def read_until_first(self, count: int) -> None:
        """Read on, some `count` rows at first, until what is first in the heap is first of all."""
        while (not self.heap or self.heap[0][0] >= self.bound) and self.bound < np.inf:
            if self.heap and self.heap[0][:2] < (self.bound, self._first_start()):
                return
            self._read(count)
            count = min(2 * count, MOST_ROWS)

    def shorten(self, token: int, limit: int) -> None:
        """Let the first row go on with its best span before a token, which starts at `limit`."""
        _, start, _, window, column, _ = self.heap[0]
        first = self.firsts[window] + column
        in_time = min(token - first, self._table.width)
        while in_time and self._token_ends[first + in_time - 1] > limit:  # the same characters
            in_time -= 1
        if in_time:
            logits = self._ends[window][column : column + in_time]
            offset = int(logits.argmax())
            score = float(self._starts[window][column] + logits[offset])
            if score > -np.inf:
                end = int(self._token_ends[first + offset])
                heapreplace(self.heap, (-score, start, end, window, column, offset))
                return
        heappop(self.heap)

    def logits(
        self, windows: list[int], columns: list[int], offsets: list[int]
    ) -> tuple[list[float], list[float]]:
        """Start logits and end logits of spans."""
        starts = self._table.starts[windows, columns]
        return starts.tolist(), self._bands[windows, columns, offsets].tolist()

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
        offsets = self._bands[windows, columns].argmax(axis=1)
        firsts = self._table.plan.starts[windows] + columns
        starts, ends = self._token_starts[firsts], self._token_ends[firsts + offsets]
        read = (-left[rows], starts, ends, windows, columns, offsets)
        self.heap += zip(*(values.tolist() for values in read), strict=True)
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
    heap, documents = rows.heap, first_windows.tolist()
    limited = most_of_one < top_k
    chosen: list[Candidate] = []
    # Of those chosen, in the order of the text.
    starts: list[int] = []
    ends: list[int] = []
    tokens: list[int] = []
    counts: Counter[int] = Counter()
    while len(chosen) < top_k:
        if not heap or heap[0][0] >= rows.bound:
            rows.read_until_first(ROWS_A_SPAN * top_k)
            if not heap:
                break
        candidate = heap[0]
        _, start, end, window, column, _ = candidate
        after = bisect_right(starts, start)
        document = bisect_right(documents, window) if limited else 0
        if (after and ends[after - 1] > start) or (limited and counts[document] == most_of_one):
            heappop(heap)
        elif after < len(starts) and starts[after] < end:
            rows.shorten(tokens[after], starts[after])
        else:
            chosen.append(candidate)
            starts.insert(after, start)
            ends.insert(after, end)
            tokens.insert(after, rows.firsts[window] + column)
            counts[document] += 1
            heappop(heap)
    if not chosen:
        return []
    _, span_starts, span_ends, *places = map(list, zip(*chosen, strict=True))
    logits = rows.logits(*places)
    return [span_of(total, *span) for span in zip(span_starts, span_ends, *logits, strict=True)]
