"""Reads the rows of CSV and Parquet files, as Hugging Face datasets and pandas write them."""

from __future__ import annotations

import ast
import csv
import io
import json
import threading
from collections.abc import Iterator

from spanqa.squad.layouts import ANSWERS, CONTEXT, QUESTION
from spanqa.squad.questions import SquadFormatError

# A list or a mapping in a cell is JSON or Python.
_STRUCTURED = {*ANSWERS, "answer_start", "answers.text", "answers.answer_start"}
_DELIMITERS = ",;\t"
_LONGEST_CELL = 2**31 - 1
_limit_lock = threading.Lock()


def csv_rows(text: str, name: str) -> Iterator[dict[str, object]] | None:
    """The rows of a CSV file; None if its first line names no question and no context.

    Raises:
        SquadFormatError: While iterating: a row cannot be read.
    """
    for delimiter in _DELIMITERS:
        header = next(csv.reader(io.StringIO(text[: text.find("\n") + 1]), delimiter=delimiter), [])
        names = [column.strip() for column in header]
        if any(key in names for key in QUESTION) and any(key in names for key in CONTEXT):
            return _csv_rows(text, names, delimiter, name)
    return None


def _csv_rows(
    text: str, names: list[str], delimiter: str, name: str
) -> Iterator[dict[str, object]]:
    with _limit_lock:
        limit = csv.field_size_limit(_LONGEST_CELL)  # 131,072 by default; some texts are longer
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[1:]
        except csv.Error as error:
            raise SquadFormatError(f"{name}: is not CSV ({error})") from None
        finally:
            csv.field_size_limit(limit)
    for number, cells in enumerate(filter(None, rows), start=1):
        if len(cells) != len(names):
            raise SquadFormatError(
                f"{name}: row {number} has {len(cells)} cells, but the first line names "
                f"{len(names)} columns; put cells that hold {delimiter!r} or ends of lines in "
                "quotation marks"
            )
        yield _values(dict(zip(names, cells, strict=True)))


def _values(row: dict[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, cell in row.items():
        value = _cell(cell) if key in _STRUCTURED else cell
        if key in ANSWERS:
            # An empty cell is no answer, a plain one is the text of an answer.
            key, value = ("answer", value) if isinstance(value, str) else ("answers", value or [])
        values[key] = value
    return values


def _cell(cell: str) -> object:
    if not cell.strip():
        return None
    if cell.lstrip()[0] not in "{[":
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        pass
    try:
        return _literal(ast.parse(cell.strip(), mode="eval").body)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return cell


def _literal(node: ast.expr) -> object:
    """A Python literal, where ``array([...], dtype=...)`` of numpy counts as its list."""
    if isinstance(node, ast.Call) and node.args:
        return _literal(node.args[0])
    if isinstance(node, ast.List):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [_literal(key) if key else None for key in node.keys]
        return dict(zip(map(str, keys), map(_literal, node.values), strict=True))
    return ast.literal_eval(node)


def parquet_rows(data: bytes, name: str) -> Iterator[dict[str, object]]:
    """The rows of a Parquet file; needs pyarrow, of the extra ``parquet``.

    Raises:
        SquadFormatError: pyarrow is missing, or the file cannot be read.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise SquadFormatError(
            f"{name}: is Parquet, which needs pyarrow: pip install 'spanqa[parquet]'"
        ) from None
    try:
        rows: list[dict[str, object]] = parquet.read_table(io.BytesIO(data)).to_pylist()
    except (OSError, ValueError) as error:  # the errors of pyarrow are of these kinds
        raise SquadFormatError(f"{name}: is not readable as Parquet ({error})") from None
    return iter(rows)
