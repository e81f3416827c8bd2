"""Decodes answers from logits as the SQuAD recipe does, and scores them: exact match and F1."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from spanqa.squad import Question, score_all
from spanqa_model.finetune.features import Window

Floats = npt.NDArray[np.float32]
BEST = 20
MAX_ANSWER_TOKENS = 30
NO_ANSWER_THRESHOLD = 0.0


@dataclass(frozen=True, slots=True)
class WindowLogits:
    """Start and end logits of a window, float32 [n]."""

    starts: Floats
    ends: Floats


@dataclass(frozen=True, slots=True)
class Span:
    """A span of the context, half-open, in code points, and its summed logits."""

    start: int
    end: int
    score: float


def best_span(window: Window, logits: WindowLogits) -> Span | None:
    """The best span from one of the 20 best starts to one of the 20 best ends, up to 30 tokens.

    None if no such span lies in the context: the 20 best are taken from the whole window.
    """
    starts = np.argsort(-logits.starts, kind="stable")[:BEST]
    ends = np.argsort(-logits.ends, kind="stable")[:BEST]
    first, last = window.head, window.head + len(window.starts) - 1
    starts = starts[(starts >= first) & (starts <= last)]
    ends = ends[(ends >= first) & (ends <= last)]
    lengths = ends[None, :] - starts[:, None] + 1
    scores = logits.starts[starts][:, None].astype(np.float64) + logits.ends[ends][None, :]
    scores[(lengths < 1) | (lengths > MAX_ANSWER_TOKENS)] = -np.inf
    if not np.isfinite(scores).any():
        return None
    row, column = np.unravel_index(int(scores.argmax()), scores.shape)
    start = int(window.starts[starts[row] - first])
    return Span(start, int(window.ends[ends[column] - first]), float(scores[row, column]))


def predict(
    questions: Sequence[Question],
    windows: Sequence[Window],
    logits: Sequence[WindowLogits],
    *,
    no_answer: bool,
) -> dict[str, str]:
    """The answer to each question by its id: the best over its windows, or "" without one.

    Args:
        questions: the questions.
        windows: all their windows.
        logits: one for each window.
        no_answer: whether "" is also an answer. It wins if the null score, the lowest [CLS] start +
            end of the question's windows, exceeds the score of the best span.
    """
    best: dict[int, Span] = {}
    null: dict[int, float] = {}
    for window, values in zip(windows, logits, strict=True):
        number = window.question
        span = best_span(window, values)
        if span is not None and (number not in best or span.score > best[number].score):
            best[number] = span
        cls_score = float(values.starts[0]) + float(values.ends[0])
        null[number] = min(null.get(number, cls_score), cls_score)
    answers = {}
    for number, question in enumerate(questions):
        span = best.get(number)
        refused = span and no_answer and null[number] - span.score > NO_ANSWER_THRESHOLD
        answers[question.id] = (
            "" if span is None or refused else question.context[span.start : span.end]
        )
    return answers


def score(questions: Sequence[Question], predictions: Mapping[str, str]) -> dict[str, float]:
    """Exact match and F1 in percent, normalized and computed as in the official scripts.

    Returns:
        `exact_match`, `f1` and `questions`. If only some questions are unanswerable, also the
        scores of the answerable and of the unanswerable ones.
    """
    scores = score_all([(question, predictions[question.id]) for question in questions])
    result = asdict(scores.total)
    if scores.has_answer and scores.no_answer:
        result |= {f"answerable_{name}": value for name, value in asdict(scores.has_answer).items()}
        result["unanswerable_exact_match"] = scores.no_answer.exact_match
        result["unanswerable_questions"] = scores.no_answer.questions
    return result
