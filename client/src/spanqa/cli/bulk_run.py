"""One run of ``spanqa answer``: from the rows of a file to the rows of another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from rich.console import Console

from spanqa import AsyncClient, Options
from spanqa._bulk.formats import Csv, JsonLines, RowFormat
from spanqa._bulk.partial import PartialFile
from spanqa._bulk.results import results_of
from spanqa._bulk.rows import ERROR_CODE, BulkError, Columns, Row
from spanqa._bulk.sources import STANDARD, read_rows
from spanqa.cli.asking import Outcome, PatientClient, ask_rows
from spanqa.cli.progress import counting

_DELIMITERS = {"csv": ",", "tsv": "\t"}


class Sink(Protocol):
    """Where rows are written."""

    def is_answered(self, row: Row) -> bool:
        """Whether an earlier run has written it."""

    def write(self, record: bytes) -> None:
        """Appends a row."""

    def close(self) -> None:
        """Ends the writing."""


class StreamSink:
    """Standard output, or what else is no file: nothing of it can be taken up again."""

    def __init__(self, stream: BinaryIO, head: bytes) -> None:
        self._stream = stream
        self.write(head)

    def is_answered(self, row: Row) -> bool:
        return False

    def write(self, record: bytes) -> None:
        self._stream.write(record)
        self._stream.flush()

    def close(self) -> None:
        if self._stream is not sys.stdout.buffer:
            self._stream.close()


class BulkRun:
    """The rows of one file, asked and written; a context manager."""

    def __init__(
        self,
        questions: str,
        input_kind: str,
        output: str,
        output_kind: str,
        columns: Columns,
        options: Options,
        *,
        restart: bool,
    ) -> None:
        """Looks through the questions and opens the file of the answers.

        Raises:
            OSError, BulkError: A file cannot be used like this.
        """
        if "parquet" in (input_kind, output_kind):
            _check_parquet(questions, input_kind, output, output_kind, columns)
        self._questions, self._input_kind, self._output_kind = questions, input_kind, output_kind
        self._columns, self._options = columns, options
        self.total, names = _survey(questions, input_kind, columns)
        self._rows = read_rows(questions, input_kind, columns)
        if names is None and output_kind in _DELIMITERS:
            names, self._rows = _first_names(self._rows)
        self._names = [] if names is None else names
        self._format: RowFormat = JsonLines()
        if output_kind in _DELIMITERS:
            self._format = Csv([*self._names, *columns.added], _DELIMITERS[output_kind])
        self.count = self.failed = 0
        self._partial: PartialFile | None = None
        self._sink = self._opened(output, restart)

    def _opened(self, output: str, restart: bool) -> Sink:
        if output == STANDARD:
            return StreamSink(sys.stdout.buffer, self._format.head)
        path = Path(output)
        if path.exists() and not path.is_file():
            return StreamSink(path.open("wb"), self._format.head)
        settings = {
            "--output-format": self._output_kind,
            "--prefix": self._columns.prefix,
            "--question-column": self._columns.question,
            "--context-column": self._columns.context,
            "--keep-context": self._columns.keep_context,
            "--unordered": self._columns.numbered,
            "--details": self._columns.details,
            "the questions' columns": self._names if self._output_kind in _DELIMITERS else None,
        }
        asked = {
            f"--{name.replace('_', '-')}": value for name, value in asdict(self._options).items()
        }
        self._partial = PartialFile(
            path, self._format, self._columns, settings | asked, restart=restart
        )
        self.count, self.failed = self._partial.answered.count, self._partial.answered.failed
        return self._partial

    @property
    def kept(self) -> str:
        """What is left of a run that stops now."""
        if self._partial is None:
            return f"{counted(self.count)} written"
        kept = f"{counted(self.count)} kept in {self._partial.path}"
        return f"{kept}: the same command goes on from there"

    async def ask(
        self, connect: Callable[[], AsyncClient], concurrency: int, patience: float
    ) -> None:
        """Asks all rows that have no answer yet.

        Raises:
            SpanQAError: The server does not even describe its model.
            ValueError: The options do not fit the model, or a row of a file cannot be read.
            StoppedError: No row can be answered any more.
        """
        async with connect() as client:
            model = await client.model_info()
            if self._options.allow_no_answer and not model.has_no_answer:
                raise ValueError(
                    f"{model.name} was not trained to give no answer: leave --no-answer off"
                )
            with counting("rows", self.total, self.count) as on_done:

                def write(rendered: tuple[bytes, bool]) -> None:
                    record, is_failed = rendered
                    self._sink.write(record)
                    self.count += 1
                    self.failed += is_failed
                    on_done()

                await ask_rows(
                    PatientClient(client, self._options, patience),
                    (row for row in self._rows if not self._sink.is_answered(row)),
                    self._render,
                    write,
                    concurrency=concurrency,
                    is_ordered=not self._columns.numbered,
                )

    def _render(self, row: Row, outcome: Outcome) -> tuple[bytes, bool]:
        results = results_of(outcome)
        if self._names and (more := row.carried.keys() - set(self._names)):
            raise BulkError(
                f"row {row.number + 1} has a column {min(more)!r}, which the first row has not:"
                " CSV cannot take it up; choose --output-format jsonl"
            )
        return self._format.encode(self._columns.answered(row, results)), ERROR_CODE in results

    def finish(self) -> None:
        """Makes the file of the answers, now that all are there."""
        if self._partial is None:
            return
        if self._output_kind != "parquet":
            self._partial.finish()
            return
        from spanqa._bulk.parquet import write_parquet

        source = Path(self._questions) if self._input_kind == "parquet" else None
        self._partial.finish(lambda rows, made: write_parquet(rows, made, self._columns, source))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._sink.close()


def counted(rows: int) -> str:
    """A number of rows in words."""
    return f"{rows} row{'' if rows == 1 else 's'}"


def _check_parquet(
    questions: str, input_kind: str, output: str, output_kind: str, columns: Columns
) -> None:
    import spanqa._bulk.parquet  # noqa: F401  # or raises ImportError, before anything is asked

    if input_kind == "parquet" and questions == STANDARD:
        raise BulkError("Parquet cannot be read from standard input: name a file")
    if output_kind == "parquet" and not _is_file_to_be(output):
        raise BulkError("Parquet can only be written to a file: name one with --output")
    if output_kind == "parquet" and columns.numbered:
        raise BulkError("Parquet is written when all answers are there: leave --unordered off")


def _is_file_to_be(output: str) -> bool:
    path = Path(output)
    return output != STANDARD and (path.is_file() or not path.exists())


def _survey(questions: str, kind: str, columns: Columns) -> tuple[int | None, list[str] | None]:
    """How many rows there are, and the columns that any of them has; None for a stream.

    Reads a file once, so that what is wrong with it is known before anything is asked.
    """
    if not _is_file_to_be(questions):
        return None, None
    count = 0
    names: dict[str, None] = {}
    console = Console(stderr=True)
    if not console.is_terminal:
        console.quiet = True
    with console.status(f"reading {questions}"):
        for row in read_rows(questions, kind, columns):
            count += 1
            names |= dict.fromkeys(row.carried)
    return count, list(names)


def _first_names(rows: Iterator[Row]) -> tuple[list[str], Iterator[Row]]:
    """The columns of the first row, and all rows."""
    first = next(rows, None)
    if first is None:
        return [], rows

    def all_rows() -> Iterator[Row]:
        yield first
        yield from rows

    return list(first.carried), all_rows()
