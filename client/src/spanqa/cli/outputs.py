"""The files that ``evaluate`` writes, as the scripts of SQuAD and transformers read them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from spanqa.cli.evaluation import Outcome
from spanqa.cli.failures import file_failures

STANDARD_OUTPUT = Path("-")


def check_writable(*paths: Path | None) -> None:
    """Ends the command if a file cannot be written, before all questions are asked."""
    for path in paths:
        if path is not None and path != STANDARD_OUTPUT:
            with file_failures(path, "write"), path.open("a"):
                pass


def write(path: Path | None, text: str) -> None:
    """Writes a file; ``-`` is standard output, None is nothing."""
    if path == STANDARD_OUTPUT:
        typer.echo(text)
    elif path is not None:
        with file_failures(path, "write"):
            path.write_text(text, encoding="utf-8")


def predictions_json(outcomes: Iterable[Outcome]) -> str:
    """The official predictions file. Failed questions are left out, so they score 0 there."""
    return json.dumps({o.question.id: o.prediction for o in outcomes if o.prediction is not None})


def null_odds_json(outcomes: Iterable[Outcome]) -> str:
    """How far "no answer" scores above the best span, in logits, by the question's id."""
    return json.dumps({o.question.id: o.null_odds for o in outcomes if o.null_odds is not None})


def nbest_json(outcomes: Iterable[Outcome]) -> str:
    """The best answers to each question, the most probable first; "" is "no answer"."""
    best = {o.question.id: list(_nbest(o)) for o in outcomes if o.result is not None}
    return json.dumps(best, indent=1)


def _nbest(outcome: Outcome) -> Iterator[dict[str, Any]]:
    result = outcome.result
    assert result is not None
    entries: list[dict[str, Any]] = [
        {
            "text": answer.text,
            "probability": answer.probability,
            "start": answer.start,
            "end": answer.end,
            "start_logit": answer.start_logit,
            "end_logit": answer.end_logit,
        }
        for answer in result.answers
    ]
    if result.no_answer_probability or result.no_answer:
        entries.append({"text": "", "probability": result.no_answer_probability})
    yield from sorted(entries, key=lambda entry: -entry["probability"])
