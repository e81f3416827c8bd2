"""Rows of questions and the columns of their answers: values only, no files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ROW, ERROR_CODE = "row", "error_code"
_ANSWER = ("answer", "start", "end", "score", "probability")
_DETAILS = ("model_version", "windows", "context_tokens", "server_seconds")
_KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


class BulkError(ValueError):
    """A file cannot be used like this; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns are read, and which are written beside those that the rows have."""

    question: str = "question"
    context: str = "context"
    keep_context: bool = False
    prefix: str = ""
    """Stands before the name of each column that is added."""
    numbered: bool = False
    """Adds the row's number, from 1: needed where the order of the rows is lost."""
    no_answer: bool = False
    more_answers: bool = False
    details: bool = False
    """Adds what differs from run to run."""

    @property
    def added(self) -> tuple[str, ...]:
        """The names of all columns that are added, in their order."""
        names = [
            *((ROW,) if self.numbered else ()),
            *_ANSWER,
            *(("no_answer_probability",) if self.no_answer else ()),
            *(("more_answers",) if self.more_answers else ()),
            *(_DETAILS if self.details else ()),
            *(ERROR_CODE, "error"),
        ]
        return tuple(self.prefix + name for name in names)

    def check(self, found: Collection[str], name: str) -> None:
        """Raises BulkError unless rows with these columns can be asked."""
        for option, column in (("question", self.question), ("context", self.context)):
            if column not in found:
                raise BulkError(
                    f"{name} has no column {column!r}, but {_listed(found)}:"
                    f" name the right one with --{option}-column"
                )
        self.check_added(found, name)

    def check_added(self, found: Iterable[str], place: str) -> None:
        """Raises BulkError if a column would be overwritten."""
        kept = {column for column in found if self.keep_context or column != self.context}
        if taken := sorted(kept & set(self.added)):
            raise BulkError(
                f"{place} has a column {taken[0]!r}, as one of the answers' columns is called:"
                " rename those with --prefix, for instance --prefix predicted_"
            )

    def row(self, number: int, values: Mapping[str, Any], problem: str = "") -> Row:
        """A row of these values. One that cannot be asked says so, and is none to stop at."""
        carried = {
            key: value for key, value in values.items() if self.keep_context or key != self.context
        }
        texts = {name: values.get(name) for name in (self.question, self.context)}
        for name, value in texts.items():
            if not problem and not isinstance(value, str):
                problem = f"{name} is {_KINDS.get(type(value), 'missing')}, not a string"
        if problem:
            return Row(number, carried, "", "", problem)
        return Row(number, carried, str(texts[self.question]), str(texts[self.context]))

    def answered(self, row: Row, results: Mapping[str, Any]) -> dict[str, Any]:
        """The row to be written: its own columns and all that are added, None where not known."""
        results = {ROW: row.number + 1, **results}
        skip = len(self.prefix)
        return row.carried | {name: results.get(name[skip:]) for name in self.added}


@dataclass(frozen=True, slots=True)
class Row:
    """One question about one text."""

    number: int
    """Its place among the rows, from 0."""
    carried: dict[str, Any]
    """The columns that are written as they are."""
    question: str
    context: str
    problem: str = ""
    """Why it cannot be asked; empty if it can."""


def _listed(names: Iterable[str]) -> str:
    shown = [repr(name) for name in names]
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    return ", ".join(shown[:8]) + more if shown else "none at all"
