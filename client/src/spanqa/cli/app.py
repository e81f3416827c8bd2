"""The commands, from their arguments to their output: text or JSON."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Unpack

import typer

from spanqa import AnswerResult, DocumentsResult, Options, __version__
from spanqa._inputs import OptionArguments
from spanqa.cli import evaluation
from spanqa.cli.connection import Connection, connected
from spanqa.cli.failures import fail, file_failures, service_failures
from spanqa.cli.rendering import (
    answer_lines,
    as_json,
    document_lines,
    info_lines,
    report_lines,
)
from spanqa.cli.terminal import print_lines, waiting
from spanqa.cli.texts import read_documents
from spanqa.squad import read_questions

app = typer.Typer(
    help="Ask a SpanQA server questions about texts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

NoAnswer = Annotated[
    bool, typer.Option("--no-answer", help='Allow "no answer in this text" as a reply.')
]
Threshold = Annotated[
    float,
    typer.Option(
        metavar="LOGITS", help='How far "no answer" must score above the best span to win.'
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spanqa {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the program's version."
        ),
    ] = False,
) -> None:
    # Text that the terminal's encoding lacks must not end in a traceback.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@app.command()
@connected()
def ask(
    connection: Connection,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE|-", help="The texts, in UTF-8; - is standard input."),
    ] = None,
    top_k: Annotated[
        int, typer.Option(min=1, metavar="N", help="The largest number of answers.")
    ] = 1,
    per_document: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The largest number of answers from one text."),
    ] = None,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Let answers share characters.")
    ] = False,
    min_probability: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, metavar="P", help="Leave out answers with a smaller probability."
        ),
    ] = 0.0,
    max_answer_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="The longest answer, in tokens. Without it, the server's: 30."
        ),
    ] = None,
    no_answer: NoAnswer = False,
    no_answer_threshold: Threshold = 0.0,
    json: Json = False,
) -> None:
    """Answer QUESTION with the best span of a text.

    Several files are searched together, and their answers are ranked together.
    """
    options = _options(
        no_answer,
        no_answer_threshold,
        top_k=top_k,
        allow_overlap=allow_overlap,
        max_answers_per_document=per_document,
        min_probability=min_probability,
        max_answer_tokens=max_answer_tokens,
    )
    documents = read_documents(files or ["-"])
    result: AnswerResult | DocumentsResult
    with service_failures(connection), connection.open() as client, waiting("waiting for answers"):
        if len(documents) == 1:
            result = client.answer(question, documents[0].text, **asdict(options))
        else:
            result = client.answer_from_documents(question, documents, **asdict(options))
    if json:
        typer.echo(as_json(asdict(result)))
        return
    lines = (
        answer_lines(result, documents[0].text)
        if isinstance(result, AnswerResult)
        else document_lines(result, documents)
    )
    print_lines(lines)


@app.command()
@connected()
def info(
    connection: Connection,
    json: Json = False,
) -> None:
    """Show the model that serves now, and the server's limits."""
    with service_failures(connection), connection.open() as client, waiting("asking"):
        model = client.model_info()
    if json:
        typer.echo(as_json(asdict(model)))
        return
    for line in info_lines(model):
        typer.echo(line)


@app.command()
@connected(timeout=evaluation.PATIENCE_SECONDS)
def evaluate(
    connection: Connection,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A SQuAD v1.1 or v2 file, plain, .xz or .gz.")
    ],
    concurrency: Annotated[
        int,
        typer.Option(min=1, max=4096, metavar="N", help="How many questions to ask at a time."),
    ] = 32,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Use only the first N questions of the file."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the answers to this file, as {id: text}."),
    ] = None,
    no_answer: NoAnswer = False,
    no_answer_threshold: Threshold = 0.0,
    json: Json = False,
) -> None:
    """Ask the questions of a SQuAD file, and score the answers.

    Questions that an overloaded server refuses are asked again until it answers them. Failed
    questions are counted and score 0; the exit status is then 1.
    """
    options = _options(no_answer, no_answer_threshold)
    with file_failures(file, "read"):
        questions = read_questions(file)[:limit]
    if predictions is not None:
        # Check that the file can be written before all questions are asked.
        with file_failures(predictions, "write"), predictions.open("a"):
            pass
    with service_failures(connection):
        evaluated = asyncio.run(
            evaluation.evaluate(
                questions,
                connection,
                options=options,
                concurrency=concurrency,
            )
        )
    report = evaluation.summarize(evaluated)
    if json:
        typer.echo(as_json(asdict(report)))
    else:
        if report.errors:
            missing = sum(report.errors.values())
            line = f"{missing} of {report.questions} questions were not answered; they score 0"
            typer.secho(line, bold=True)
        for line in report_lines(report):
            typer.echo(line)
    if predictions is not None:
        with file_failures(predictions, "write"):
            predictions.write_text(evaluation.predictions_json(evaluated.outcomes))
    if evaluated.interrupted:
        raise typer.Exit(130)
    _exit_on_failed_questions(evaluated)


def _exit_on_failed_questions(evaluated: evaluation.Evaluated) -> None:
    failed = [outcome for outcome in evaluated.outcomes if outcome.error is not None]
    if failed:
        first = failed[0]
        fail(f"{len(failed)} questions failed; the first, {first.question.id}: {first.error}")


def _options(no_answer: bool, threshold: float, **options: Unpack[OptionArguments]) -> Options:
    if threshold and not no_answer:
        raise typer.BadParameter("needs --no-answer", param_hint="'--no-answer-threshold'")
    options |= {"allow_no_answer": no_answer, "no_answer_threshold": threshold}
    return Options(**options)
