"""The command ``spanqa evaluate``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from spanqa.cli import evaluation, outputs
from spanqa.cli.connection import Connection, connected
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
from spanqa.cli.rendering import as_json, report_lines
from spanqa.cli.reports import Report, summarize
from spanqa.cli.terminal import printable
from spanqa.squad import Question, read_dataset


@connected(timeout=evaluation.PATIENCE_SECONDS)
def evaluate(
    connection: Connection,
    files: Questions,
    concurrency: Concurrency = 32,
    limit: Limit = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the answers to this file, as {id: text}. - is standard output; the report "
            "then goes to standard error.",
        ),
    ] = None,
    nbest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the best answers to each question to this file."),
    ] = None,
    nbest_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="How many answers --nbest has.")
    ] = 20,
    no_answer: NoAnswer = False,
    no_answer_threshold: Threshold = 0.0,
    null_odds: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='Write how far "no answer" scores above the best span, as {id: logits}.',
        ),
    ] = None,
    best_threshold: Annotated[
        bool,
        typer.Option(
            "--best-threshold", help="Also find the --no-answer-threshold that scores best."
        ),
    ] = False,
    score_by: ScoreBy = None,
    json: Json = False,
) -> None:
    """Ask the questions of files, and score the answers.

    Without gold answers, the answers are printed. Questions that an overloaded server refuses are
    asked again until it answers them. Failed questions are counted and score 0; the exit status is
    then 1. Ctrl-C ends the run; what was answered is still scored and written.
    """
    for name, given in (("--null-odds", null_odds), ("--best-threshold", best_threshold)):
        if given and not no_answer:
            raise typer.BadParameter("needs --no-answer", param_hint=f"'{name}'")
    options = answer_options(
        no_answer,
        no_answer_threshold,
        top_k=nbest_size if nbest else 1,
        allow_overlap=nbest is not None,
    )
    questions = read(files)[:limit]
    if predictions is None and not any(question.labelled for question in questions):
        predictions = outputs.STANDARD_OUTPUT
    outputs.check_writable(predictions, nbest, null_odds)
    with service_failures(connection):
        evaluated = asyncio.run(
            evaluation.evaluate(
                questions,
                connection,
                options=options,
                concurrency=concurrency,
                null_odds=no_answer and bool(nbest or null_odds or best_threshold),
            )
        )
    report = summarize(evaluated, score_by)
    _print_report(
        report, json, to_stderr=outputs.STANDARD_OUTPUT in (predictions, nbest, null_odds)
    )
    outputs.write(predictions, outputs.predictions_json(evaluated.outcomes))
    outputs.write(nbest, outputs.nbest_json(evaluated.outcomes))
    outputs.write(null_odds, outputs.null_odds_json(evaluated.outcomes))
    if evaluated.interrupted:
        raise typer.Exit(130)
    exit_on_failed_questions(evaluated.outcomes)


def read(files: Sequence[Path]) -> list[Question]:
    """The questions of the files; prints what was unusual in them."""
    if files.count(Path("-")) > 1:
        raise typer.BadParameter("- (standard input) may be given once", param_hint="FILE")
    if Path("-") in files and sys.stdin.isatty():
        typer.echo("spanqa: type or paste the questions, then Ctrl-D", err=True)
    with file_failures(", ".join(map(str, files)), "read"):
        dataset = read_dataset(files)
    for notice in dataset.notices:
        typer.echo(printable(f"spanqa: {notice}"), err=True)
    return dataset.questions


def _print_report(report: Report, json: bool, *, to_stderr: bool) -> None:
    if json:
        typer.echo(as_json(asdict(report)), err=to_stderr)
        return
    if report.errors:
        missing = sum(report.errors.values())
        line = f"{missing} of {report.questions} questions were not answered; they score 0"
        typer.secho(line, bold=True, err=to_stderr)
    for line in report_lines(report):
        typer.echo(line, err=to_stderr)


def exit_on_failed_questions(outcomes: Sequence[evaluation.Outcome]) -> None:
    """Ends the command with status 1 if a question failed."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        first = failed[0]
        fail(f"{len(failed)} questions failed; the first, {first.question.id}: {first.error}")
