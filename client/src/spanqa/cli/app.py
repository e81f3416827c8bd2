"""The commands, from their arguments to their output: text or JSON."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from spanqa import AnswerResult, DocumentsResult, __version__
from spanqa.cli.answer import answer
from spanqa.cli.compare import compare_command
from spanqa.cli.connection import Connection, connected
from spanqa.cli.evaluate import evaluate
from spanqa.cli.failures import service_failures
from spanqa.cli.options import (
    AllowOverlap,
    Json,
    MaxAnswerTokens,
    MinProbability,
    NoAnswer,
    Threshold,
    TopK,
    answer_options,
)
from spanqa.cli.playground import playground
from spanqa.cli.rendering import answer_lines, as_json, document_lines, info_lines
from spanqa.cli.terminal import print_lines, waiting
from spanqa.cli.texts import read_documents

app = typer.Typer(
    help="Ask a SpanQA server questions about texts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
    top_k: TopK = 1,
    per_document: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The largest number of answers from one text."),
    ] = None,
    allow_overlap: AllowOverlap = False,
    min_probability: MinProbability = 0.0,
    max_answer_tokens: MaxAnswerTokens = None,
    no_answer: NoAnswer = False,
    no_answer_threshold: Threshold = 0.0,
    json: Json = False,
) -> None:
    """Answer QUESTION with the best span of a text.

    Several files are searched together, and their answers are ranked together.
    """
    options = answer_options(
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


app.command()(answer)
app.command()(evaluate)
app.command("compare")(compare_command)
app.command()(playground)
