"""``spanqa answer``: asks all rows of a file, and can go on where it was stopped."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import typer

from spanqa._bulk.rows import BulkError, Columns
from spanqa._bulk.sources import STANDARD, kind_of
from spanqa.cli.asking import StoppedError
from spanqa.cli.bulk_run import BulkRun, counted
from spanqa.cli.connection import Connection, connected
from spanqa.cli.evaluation import PATIENCE_SECONDS
from spanqa.cli.failures import describe, fail, service_failures
from spanqa.cli.options import (
    AllowOverlap,
    MaxAnswerTokens,
    MinProbability,
    NoAnswer,
    Threshold,
    TopK,
    answer_options,
)


class Format(StrEnum):
    """What ``--input-format`` and ``--output-format`` take."""

    jsonl = "jsonl"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"


@connected(timeout=PATIENCE_SECONDS)
def answer(
    connection: Connection,
    questions: Annotated[
        str,
        typer.Argument(
            metavar="QUESTIONS|-",
            help="Rows with a question and a context: .jsonl, .csv, .tsv (these also packed), or"
            " .parquet; - is standard input.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(metavar="ANSWERS", help="The file to write; - is standard output."),
    ] = STANDARD,
    question_column: Annotated[
        str, typer.Option(metavar="NAME", help="The column with the question.")
    ] = "question",
    context_column: Annotated[
        str, typer.Option(metavar="NAME", help="The column with the text.")
    ] = "context",
    keep_context: Annotated[
        bool, typer.Option("--keep-context", help="Write the texts, too.")
    ] = False,
    prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="Put this before the names of added columns.")
    ] = "",
    details: Annotated[
        bool,
        typer.Option(
            "--details", help="Add the model's version, windows, tokens and the server's seconds."
        ),
    ] = False,
    unordered: Annotated[
        bool,
        typer.Option("--unordered", help="Write rows as answers come, with their number."),
    ] = False,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Replace what an earlier run has written to ANSWERS."),
    ] = False,
    input_format: Annotated[
        Format | None,
        typer.Option(help="The format of QUESTIONS, if its name does not say; else jsonl."),
    ] = None,
    output_format: Annotated[
        Format | None,
        typer.Option(help="The format of ANSWERS, if its name does not say; else jsonl."),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, max=4096, metavar="N", help="How many rows to ask at a time.")
    ] = 32,
    patience: Annotated[
        float,
        typer.Option(
            min=0, metavar="SECONDS", help="Give up when no server has answered for so long."
        ),
    ] = PATIENCE_SECONDS,
    top_k: TopK = 1,
    allow_overlap: AllowOverlap = False,
    min_probability: MinProbability = 0.0,
    max_answer_tokens: MaxAnswerTokens = None,
    no_answer: NoAnswer = False,
    no_answer_threshold: Threshold = 0.0,
) -> None:
    """Answer all rows of a file; the same command goes on where one was stopped.

    Each row is written with its own columns and answer, start, end (code points), score,
    probability, error_code and error. Rows that fail say why; the exit status is then 1.
    """
    options = answer_options(
        no_answer,
        no_answer_threshold,
        top_k=top_k,
        allow_overlap=allow_overlap,
        min_probability=min_probability,
        max_answer_tokens=max_answer_tokens,
    )
    columns = Columns(
        question=question_column,
        context=context_column,
        keep_context=keep_context,
        prefix=prefix,
        numbered=unordered,
        no_answer=no_answer,
        more_answers=top_k > 1,
        details=details,
    )
    with _failures(questions, output):
        run = BulkRun(
            questions,
            kind_of(questions, input_format, "--input-format"),
            output,
            kind_of(output, output_format, "--output-format"),
            columns,
            options,
            restart=restart,
        )
    with run:
        try:
            with _failures(questions, output), service_failures(connection):
                asyncio.run(run.ask(connection.open_async, concurrency, patience))
                run.finish()
        except StoppedError as error:
            fail(f"{describe(error.error, connection)}; {run.kept}")
        except KeyboardInterrupt:
            typer.echo(f"spanqa: stopped; {run.kept}", err=True)
            raise typer.Exit(130) from None
    if run.failed:
        fail(f"{run.failed} of {counted(run.count)} failed: the column {prefix}error_code says why")
    typer.echo(f"{counted(run.count)} answered", err=True)


@contextmanager
def _failures(questions: str, output: str) -> Iterator[None]:
    """Reports files that cannot be read or written, or not like this."""
    try:
        yield
    except BulkError as error:
        fail(f"{error}")
    except BrokenPipeError:
        # Or Python would try again, at its end, to write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail("what reads the answers has ended")
    except OSError as error:
        reason = error.strerror or error
        where = error.filename or (f"{questions}, or write {output}")
        fail(f"cannot read or write {where}: {reason}")
    except ImportError as error:
        fail(f"Parquet needs pyarrow: pip install 'spanqa[parquet]' ({error})")
