"""The commands: arguments in, text or JSON out. Everything else is in the modules beside."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from spanqa import Client
from spanqa._channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_SECONDS
from spanqa.cli import evaluation
from spanqa.cli.failures import fail, file_failures, service_failures
from spanqa.cli.rendering import answer_lines, as_json, info_lines, report_lines
from spanqa.squad import SquadFormatError, SquadQuestion, read_questions

app = typer.Typer(
    help="Ask a SpanQA server questions about texts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Target = Annotated[
    str, typer.Option(envvar="SPANQA_TARGET", metavar="HOST:PORT", help="The server.")
]
Timeout = Annotated[
    float, typer.Option(min=0.001, metavar="SECONDS", help="How long a call may take.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _root() -> None:
    # Undecodable or unencodable text must not end in a traceback.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


@app.command()
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The question.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE|-", help="The text, UTF-8; - is standard input.")
    ] = "-",
    top_k: Annotated[int, typer.Option(min=1, help="How many answers at most.")] = 1,
    json: Json = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """Answer QUESTION with the span of a text that fits best."""
    context = _read_context(file)
    with service_failures(target, timeout), Client(target, timeout=timeout) as client:
        result = client.answer(question, context, top_k=top_k)
    if json:
        typer.echo(as_json(asdict(result)))
        return
    console = Console(highlight=False)
    for line in answer_lines(result, context):
        console.print(line, soft_wrap=True)


@app.command()
def info(
    json: Json = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """Show the model that serves now and the server's limits."""
    with service_failures(target, timeout), Client(target, timeout=timeout) as client:
        model = client.model_info()
    if json:
        typer.echo(as_json(asdict(model)))
        return
    for line in info_lines(model):
        typer.echo(line)


@app.command()
def evaluate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="SQuAD v1.1 JSON, plain or .xz or .gz.")
    ],
    concurrency: Annotated[
        int, typer.Option(min=1, max=4096, help="How many questions are under way at once.")
    ] = 32,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first questions of the file.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write the answers here, as {id: text}.")
    ] = None,
    json: Json = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """Send the questions of a SQuAD file and score the answers.

    Questions that fail score 0 and are counted; the exit status is then 1.
    """
    questions = _read_squad(file)[:limit]
    if predictions is not None:
        # Better to learn now than after an hour that nothing can be written there.
        with file_failures(predictions, "write"), predictions.open("a"):
            pass
    with service_failures(target, timeout):
        evaluated = asyncio.run(
            evaluation.evaluate(questions, target, call_timeout=timeout, concurrency=concurrency)
        )
    report = evaluation.summarize(evaluated)
    if json:
        typer.echo(as_json(asdict(report)))
    else:
        for line in report_lines(report):
            typer.echo(line)
    if predictions is not None:
        with file_failures(predictions, "write"):
            predictions.write_text(evaluation.predictions_json(evaluated.outcomes))
    _exit_on_failed_questions(evaluated)


def _exit_on_failed_questions(evaluated: evaluation.Evaluated) -> None:
    failed = [outcome for outcome in evaluated.outcomes if outcome.error is not None]
    if failed:
        first = failed[0]
        fail(f"{len(failed)} questions failed; the first, {first.question.id}: {first.error}")


def _read_context(file: str) -> str:
    if file == "-" and sys.stdin.isatty():
        typer.echo("spanqa: type the text, then Ctrl-D", err=True)
    with file_failures(file, "read"):
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        where = "standard input" if file == "-" else file
        fail(f"{where} is not UTF-8 at byte {error.start}: convert it, with iconv for instance")


def _read_squad(file: Path) -> list[SquadQuestion]:
    with file_failures(file, "read"):
        try:
            questions = read_questions(file)
        except SquadFormatError as error:
            fail(f"{file} {error}; give a SQuAD v1.1 file in the official JSON format")
    if not questions:
        fail(f"{file} holds no questions: give a SQuAD v1.1 file that does")
    return questions
