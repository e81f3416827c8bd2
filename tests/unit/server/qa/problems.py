"""Random decoding problems, and how the decoder is asked about them."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from spanqa_server.qa.decoder import Decoded, decode
from spanqa_server.qa.windows import WindowPlan
from unit.server.reference import Problem, cut_windows

LOGITS = ("plain", "rounded", "constant", "huge", "apart")


@st.composite
def problems(draw: st.DrawFn, most_documents: int = 1) -> Problem:
    """Any overlap up to all but one token, any mix of token offsets, ties and extremes."""
    sizes = draw(st.lists(st.integers(1, 24), min_size=1, max_size=most_documents))
    room = draw(st.integers(1, 26))
    doc_stride = draw(st.integers(0, room - 1) | st.just(room - 1))
    head = draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shares = draw(st.sampled_from([(1.0, 0, 0), (0.5, 0.3, 0.2)]))
    windows: list[list[int]] = []
    documents: list[int] = []
    token_starts: list[int] = []
    token_ends: list[int] = []
    base = 0
    for document, tokens in enumerate(sizes):
        first = len(token_starts)
        windows += cut_windows(range(first, first + tokens), room, doc_stride)
        documents += [document] * (len(windows) - len(documents))
        starts, ends = draw_offsets(rng, tokens, shares)
        token_starts += [base + place for place in starts]
        token_ends += [base + place for place in ends]
        base += max(ends) + int(rng.integers(0, 3))
    total = sum(head + len(window) + 1 for window in windows)
    logits = draw_logits(rng, draw(st.sampled_from(LOGITS)), total)
    return Problem(windows, head, *logits, token_starts, token_ends, documents)


def draw_logits(rng: np.random.Generator, kind: str, size: int) -> tuple[list[float], list[float]]:
    starts, ends = rng.normal(size=(2, size)).astype(np.float32)
    if kind == "rounded":
        starts, ends = np.rint(starts), np.rint(ends)
    elif kind == "constant":
        starts, ends = np.full_like(starts, 1.5), np.full_like(ends, -2.0)
    elif kind == "huge":
        starts, ends = starts * 3000, ends * 3000
    elif kind == "apart":  # the best start lies behind the best end
        slope = np.linspace(-3000, 3000, size, dtype=np.float32)
        starts, ends = starts + slope, ends - slope
    return starts.tolist(), ends.tolist()


def draw_offsets(
    rng: np.random.Generator, tokens: int, shares: tuple[float, float, float]
) -> tuple[list[int], list[int]]:
    """Of the tokens, these shares: on new text, on the same text as the last, on none."""
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for kind in rng.choice(["new", "same", "none"], size=tokens, p=shares):
        if kind == "new" or (kind == "same" and not starts):
            at += int(rng.integers(0, 2))
            starts.append(at)
            at += int(rng.integers(1, 4))
            ends.append(at)
        elif kind == "same":
            starts.append(starts[-1])
            ends.append(ends[-1])
        else:
            starts.append(at)
            ends.append(at)
    return starts, ends


def run_decoder(
    problem: Problem,
    top_k: int,
    max_answer_tokens: int,
    no_answer_threshold: float | None = None,
    max_per_document: int | None = None,
    *,
    allow_overlap: bool = True,
) -> Decoded:
    documents = problem.documents or [0]
    return decode(
        np.array(problem.start_logits, dtype=np.float32),
        np.array(problem.end_logits, dtype=np.float32),
        WindowPlan(
            integers([window[0] for window in problem.windows]),
            integers([window[-1] + 1 for window in problem.windows]),
        ),
        problem.head,
        integers(problem.token_starts),
        integers(problem.token_ends),
        top_k=top_k,
        max_answer_tokens=max_answer_tokens,
        no_answer_threshold=no_answer_threshold,
        first_windows=integers([documents.index(n) for n in range(max(documents) + 1)]),
        max_per_document=max_per_document,
        allow_overlap=allow_overlap,
    )


def integers(values: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)
