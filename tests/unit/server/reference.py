"""Slow references, written from the definitions and sharing no code with the package."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


def cut_windows(tokens: Sequence[int], room: int, doc_stride: int) -> list[list[int]]:
    """truncation="only_second": move on by what is not shared, until the end is inside."""
    windows = []
    start = 0
    while True:
        windows.append(list(tokens[start : start + room]))
        if start + room >= len(tokens):
            return windows
        start += room - doc_stride


@dataclass(frozen=True)
class Problem:
    """One decoding problem in plain lists; windows hold the numbers of their context tokens.

    `documents`: which document each window is of; one for all where it is empty.
    """

    windows: list[list[int]]
    head: int
    start_logits: list[float]
    end_logits: list[float]
    token_starts: list[int]
    token_ends: list[int]
    documents: list[int] = field(default_factory=list)

    def token_documents(self) -> dict[int, int]:
        """Which document each token is of."""
        documents = self.documents or [0] * len(self.windows)
        pairs = zip(self.windows, documents, strict=True)
        return {token: document for window, document in pairs for token in window}


@dataclass(frozen=True)
class Solution:
    """Every distinct span (start, end, score, probability) in order, and "no answer"."""

    spans: list[tuple[int, int, float, float]]
    no_answer: bool
    null_score: float
    null_probability: float


def solve(
    problem: Problem, max_answer_tokens: int, no_answer_threshold: float | None = None
) -> Solution:
    """Try every pair of tokens of every window; no threshold means that there is an answer."""
    scores, nulls = score_pairs(problem, max_answer_tokens)
    terms = list(scores.values())
    silent: dict[int, bool] = {}
    null_score = 0.0
    if no_answer_threshold is not None:
        null_score = min(nulls)
        terms.append(null_score)
        silent = find_silent(problem, scores, nulls, no_answer_threshold)
    if not terms:
        return Solution([], False, 0.0, 0.0)
    top = max(terms)
    total = math.fsum(math.exp(term - top) for term in terms)
    best: dict[tuple[int, int], float] = {}
    documents = problem.token_documents()
    for (first, last), score in scores.items():
        if not silent.get(documents[first]):
            place = (problem.token_starts[first], problem.token_ends[last])
            best[place] = max(score, best.get(place, -math.inf))
    ranked = sorted((-score, *place) for place, score in best.items())
    return Solution(
        [(start, end, -s, math.exp(-s - top) / total) for s, start, end in ranked],
        bool(silent) and all(silent.values()),
        null_score,
        math.exp(null_score - top) / total if no_answer_threshold is not None else 0.0,
    )


def choose(
    problem: Problem,
    spans: list[tuple[int, int, float, float]],
    most_of_one: float = math.inf,
    *,
    allow_overlap: bool,
) -> list[tuple[int, int, float, float]]:
    """Go through spans in order; leave out what overlaps, or is too much of one document."""
    documents = problem.token_documents()
    document_at = {problem.token_starts[token]: documents[token] for token in documents}
    chosen: list[tuple[int, int, float, float]] = []
    for span in spans:
        apart = all(span[1] <= start or end <= span[0] for start, end, *_ in chosen)
        same = sum(document_at[start] == document_at[span[0]] for start, *_ in chosen)
        if (apart or allow_overlap) and same < most_of_one:
            chosen.append(span)
    return chosen


def find_silent(
    problem: Problem,
    scores: dict[tuple[int, int], float],
    nulls: list[float],
    threshold: float,
) -> dict[int, bool]:
    """For each document, whether "no answer" beats its best span by more than the threshold."""
    documents = problem.token_documents()
    best: dict[int, float] = {}
    for (first, _), score in scores.items():
        best[documents[first]] = max(score, best.get(documents[first], -math.inf))
    lowest: dict[int, float] = {}
    for window, null in zip(problem.windows, nulls, strict=True):
        document = documents[window[0]]
        lowest[document] = min(null, lowest.get(document, math.inf))
    return {
        document: null - best.get(document, -math.inf) > threshold
        for document, null in lowest.items()
    }


def score_pairs(
    problem: Problem, max_answer_tokens: int
) -> tuple[dict[tuple[int, int], float], list[float]]:
    """The best score of each pair of context tokens, and each window's "no answer"."""
    scores: dict[tuple[int, int], float] = {}
    nulls = []
    begin = 0
    for window in problem.windows:
        nulls.append(problem.start_logits[begin] + problem.end_logits[begin])
        for i, first in enumerate(window):
            for j in range(i, min(i + max_answer_tokens, len(window))):
                last = window[j]
                if has_text(problem, first) and has_text(problem, last):
                    at = begin + problem.head
                    score = problem.start_logits[at + i] + problem.end_logits[at + j]
                    scores[first, last] = max(score, scores.get((first, last), -math.inf))
        begin += problem.head + len(window) + 1
    return scores, nulls


def has_text(problem: Problem, token: int) -> bool:
    return problem.token_starts[token] < problem.token_ends[token]
