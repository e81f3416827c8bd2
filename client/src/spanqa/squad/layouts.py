"""Finds the questions in a value, however they are nested: articles, paragraphs, rows, columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spanqa.squad.questions import REMEDY, SquadFormatError

CONTEXT = ("context", "context_text", "passage")
QUESTION = ("question", "query_text", "query")
ANSWERS = ("answers", "answer", "answer_text")
_LISTS = {"data": "paragraphs", "paragraphs": "qas", "rows": "question"}


@dataclass(frozen=True, slots=True)
class RawQuestion:
    """One question as the file has it; ``place`` is a prefix for messages."""

    entry: dict[str, Any]
    context: object
    place: str


def raw_questions(node: object, place: str, expected: str = "data") -> Iterator[RawQuestion]:
    """All questions in a value, in order.

    Args:
        node: An object or a list, parsed.
        place: Where it is.
        expected: The name of the member that is missing where nothing is recognized.

    Raises:
        SquadFormatError: The value, or one inside it, holds no questions.
    """
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from raw_questions(item, f"{place}[{index}].", "question")
        return
    if not isinstance(node, dict):
        raise missing(expected, place)
    if "row" in node and isinstance(node["row"], dict):  # Hugging Face's dataset viewer
        yield from raw_questions(node["row"], f"{place}row.", "question")
        return
    for key, inside in _LISTS.items():
        if key in node:
            for item, where in items(node[key], key, place):
                yield from raw_questions(item, where, inside)
            return
    if "qas" in node:
        context = member(node, CONTEXT, place)
        for item, where in items(node["qas"], "qas", place):
            if not isinstance(item, dict):
                raise missing("question", where)
            yield RawQuestion(item, context, where)
        return
    if "header" in node and not _known(node):  # the first line of MRQA files
        return
    if not _known(node):
        raise missing(expected, place)
    yield from _row(node, place, expected)


def _row(node: dict[str, Any], place: str, expected: str) -> Iterator[RawQuestion]:
    context = member(node, CONTEXT, place)
    if expected == "qas" and not any(key in node for key in QUESTION):
        if not isinstance(context, str):
            raise SquadFormatError(f"{place}{_name(node, CONTEXT)} is not a string; {REMEDY}")
        raise missing("qas", place)
    question = member(node, QUESTION, place)
    if not (isinstance(question, (list, dict)) and type(question) is type(context)):
        yield RawQuestion(node, context, place)
        return
    columns = {
        key: list(column.values()) if isinstance(column, dict) else column
        for key, column in node.items()
        if type(column) is type(question)
    }
    if len(set(map(len, columns.values()))) != 1:
        sizes = ", ".join(f"{key} {len(column)}" for key, column in columns.items())
        raise SquadFormatError(f"{place}the columns differ in length ({sizes}); {REMEDY}")
    for number, cells in enumerate(zip(*columns.values(), strict=True), start=1):
        row = dict(zip(columns, cells, strict=True))
        yield RawQuestion(row, member(row, CONTEXT, place), f"{place}row {number}: ")


def _known(node: dict[str, Any]) -> bool:
    return any(key in node for key in (*CONTEXT, *QUESTION))


def _name(node: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in node), names[0])


def member(node: dict[str, Any], names: tuple[str, ...], place: str) -> Any:
    """The member with the first of these names that there is."""
    name = _name(node, names)
    if name not in node:
        raise missing(name, place)
    return node[name]


def items(value: object, key: str, place: str) -> Iterator[tuple[object, str]]:
    """The items of a list, each with its place."""
    if not isinstance(value, list):
        raise SquadFormatError(f"{place}{key} is not a list; {REMEDY}")
    for index, item in enumerate(value):
        yield item, f"{place}{key}[{index}]."


def missing(name: str, place: str) -> SquadFormatError:
    """The error of a member that is not there."""
    return SquadFormatError(f"{place}{name} is missing; {REMEDY}")
