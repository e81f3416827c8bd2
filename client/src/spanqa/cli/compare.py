"""The command ``spanqa compare``."""

from __future__ import annotations

import asyncio
import json as json_module
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from spanqa import Options
from spanqa._target import full_target
from spanqa.cli import evaluation, outputs
from spanqa.cli.comparison import (
    Comparison,
    Side,
    compare,
    comparison_lines,
    differences_jsonl,
)
from spanqa.cli.connection import Connection, connected
from spanqa.cli.evaluate import exit_on_failed_questions, read
from spanqa.cli.failures import fail, file_failures, service_failures
from spanqa.cli.options import (
    Concurrency,
    Json,
    Limit,
    NoAnswer,
    Questions,
    ScoreBy,
    Threshold,
    answer_options,
)
from spanqa.cli.rendering import as_json
from spanqa.cli.reports import summarize
from spanqa.cli.terminal import printable
from spanqa.squad import Question


def _side(name: str) -> typer.models.ArgumentInfo:
    help = "The address of a server, or a file with answers from evaluate --predictions."
    argument: typer.models.ArgumentInfo = typer.Argument(metavar=name, help=help)
    return argument


@connected(timeout=evaluation.PATIENCE_SECONDS, with_target=False)
def compare_command(
    connection: Connection,
    a: Annotated[str, _side("A")],
    b: Annotated[str, _side("B")],
    files: Questions,
    concurrency: Concurrency = 32,
    limit: Limit = None,
    no_answer: NoAnswer = False,
    no_answer_threshold: Threshold = 0.0,
    score_by: ScoreBy = None,
    show: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many differing answers to print.")
    ] = 20,
    differences: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write all differing answers to this file, as JSON lines."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Ask two servers the same questions, and show where their answers differ.

    A is the server or version that is in use, B the one that may replace it. A is asked first, then
    B. The options for tokens and TLS hold for both. To compare two versions of one server, keep the
    answers of the first with evaluate --predictions.
    """
    options = answer_options(no_answer, no_answer_threshold)
    connections = [_connection(name, connection) for name in (a, b)]
    questions = read(files)[:limit]
    outputs.check_writable(differences)
    for each in connections:
        if each is not None:
            with service_failures(each), each.open() as client:
                client.model_info()  # rather now than after all questions to the other
    outcomes: list[evaluation.Outcome] = []
    sides = []
    for name, each in zip((a, b), connections, strict=True):
        if each is None:
            sides.append(_side_of_file(Path(name), questions))
            continue
        typer.echo(printable(f"spanqa: asking {name}"), err=True)
        evaluated = _ask(questions, each, options, concurrency)
        sides.append(_side_of(name, evaluated))
        outcomes += evaluated.outcomes
    before, after = sides
    comparison = compare(questions, before, after, score_by)
    if json:
        typer.echo(as_json(_as_values(comparison, before, after)))
    else:
        for line in comparison_lines(comparison, before, after, show):
            typer.echo(line)
    if differences is not None:
        outputs.write(differences, differences_jsonl(comparison))
    exit_on_failed_questions(outcomes)


def _connection(name: str, connection: Connection) -> Connection | None:
    """How to reach a server; None if the name is that of a file."""
    if Path(name).is_file():
        return None
    try:
        return replace(connection, target=full_target(name))
    except ValueError as error:
        fail(f"{name} is neither a file nor the address of a server: {error}")


def _ask(
    questions: Sequence[Question], connection: Connection, options: Options, concurrency: int
) -> evaluation.Evaluated:
    with service_failures(connection):
        evaluated = asyncio.run(
            evaluation.evaluate(questions, connection, options=options, concurrency=concurrency)
        )
    if evaluated.interrupted:
        raise typer.Exit(130)
    return evaluated


def _side_of(name: str, evaluated: evaluation.Evaluated) -> Side:
    return Side(
        name=name,
        predictions={o.question.id: o.prediction for o in evaluated.outcomes},
        probabilities={
            o.question.id: o.best.probability for o in evaluated.outcomes if o.best is not None
        },
        report=summarize(evaluated),
    )


def _side_of_file(path: Path, questions: Sequence[Question]) -> Side:
    with file_failures(path, "read"):
        data = path.read_bytes()
    try:
        answers = json_module.loads(data)
    except (ValueError, RecursionError):
        answers = None
    if not isinstance(answers, dict) or not all(isinstance(t, str) for t in answers.values()):
        fail(
            f"{path} holds no answers: give a file that evaluate --predictions wrote, {{id: text}}"
        )
    predictions = {question.id: answers.get(question.id) for question in questions}
    if all(text is None for text in predictions.values()):
        fail(f"{path} answers none of these questions: their ids differ")
    return Side(name=str(path), predictions=predictions, probabilities={})


def _as_values(comparison: Comparison, a: Side, b: Side) -> dict[str, object]:
    reports = {
        f"{key}_report": None if side.report is None else asdict(side.report)
        for key, side in (("a", a), ("b", b))
    }
    return asdict(comparison) | reports
