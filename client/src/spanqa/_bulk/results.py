"""Outcomes as the values of the columns that are added to a row."""

from __future__ import annotations

from typing import Any

from spanqa import Answer, AnswerResult, SpanQAError
from spanqa._bulk.rows import ERROR_CODE


def results_of(outcome: AnswerResult | SpanQAError) -> dict[str, Any]:
    """The values of all columns; those that are not asked for are left out elsewhere.

    Offsets count code points. Scores and probabilities are rounded: their last digits depend on
    what else a server computes at the same time.
    """
    if isinstance(outcome, SpanQAError):
        refused = "; ".join(f"{v.field}: {v.description}" for v in outcome.field_violations)
        return {ERROR_CODE: outcome.code.name, "error": refused or outcome.message}
    best = _answer(outcome.best) if outcome.best is not None else {}
    return best | {
        "no_answer_probability": round(outcome.no_answer_probability, 6),
        "more_answers": [_answer(answer) for answer in outcome.answers[1:]],
        "model_version": outcome.model_version,
        "windows": outcome.usage.windows,
        "context_tokens": outcome.usage.context_tokens,
        "server_seconds": round(outcome.timing.total, 6),
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "start": answer.start,
        "end": answer.end,
        "score": round(answer.score, 4),
        "probability": round(answer.probability, 6),
    }
