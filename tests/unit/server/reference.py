"""Slow references, written from the definitions and sharing no code with the package."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


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
    """One decoding problem in plain lists; windows hold the numbers of their context tokens."""

    windows: list[list[int]]
    head: int
    start_logits: list[float]
    end_logits: list[float]
    token_starts: list[int]
    token_ends: list[int]


@dataclass(frozen=True)
class Solution:
    """Every distinct span (start, end, score, probability) in order, and "no answer"."""

    spans: list[tuple[int, int, float, float]]
    null_score: float
    null_probability: float


def solve(problem: Problem, max_answer_tokens: int, *, allow_no_answer: bool) -> Solution:
    """Try every pair of tokens of every window."""
    scores, nulls = score_pairs(problem, max_answer_tokens)
    terms = list(scores.values())
    null_score = min(nulls) if allow_no_answer else 0.0
    if allow_no_answer:
        terms.append(null_score)
    if not terms:
        return Solution([], 0.0, 0.0)
    top = max(terms)
    total = math.fsum(math.exp(term - top) for term in terms)
    best: dict[tuple[int, int], float] = {}
    for (first, last), score in scores.items():
        place = (problem.token_starts[first], problem.token_ends[last])
        best[place] = max(score, best.get(place, -math.inf))
    ranked = sorted((-score, *place) for place, score in best.items())
    return Solution(
        [(start, end, -s, math.exp(-s - top) / total) for s, start, end in ranked],
        null_score,
        math.exp(null_score - top) / total if allow_no_answer else 0.0,
    )


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
