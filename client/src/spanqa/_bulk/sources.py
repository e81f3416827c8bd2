"""Reads rows one by one: from JSON Lines and CSV, plain or packed, and from Parquet."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spanqa._bulk.rows import BulkError, Columns, Row

STANDARD = "-"
_KINDS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_PACKED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ": lzma.open,
    b"BZh": bz2.open,
}
_PACKED_SUFFIXES = (".gz", ".xz", ".bz2")
_DELIMITERS = {"csv": ",;\t", "tsv": "\t"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A quotation mark that is never closed makes one cell of the rest of a file.
_LONGEST_CELL = 64 << 20
_NOT_UTF8 = "is not UTF-8: convert the file, with iconv for instance"


def kind_of(path: str, chosen: str | None, option: str) -> str:
    """The format of a file: the chosen one, or that of its name. ``-`` is JSON Lines.

    Raises:
        BulkError: The name says nothing; the message asks for ``option``.
    """
    if chosen is not None or path == STANDARD:
        return chosen or "jsonl"
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in _PACKED_SUFFIXES:
        suffixes.pop()
    kind = _KINDS.get(suffixes[-1] if suffixes else "")
    if kind is None:
        raise BulkError(f"{path}: the name must end in {', '.join(_KINDS)}, or give {option}")
    return kind


def read_rows(path: str, kind: str, columns: Columns) -> Iterator[Row]:
    """The rows of a file, read as they are taken.

    Args:
        path: The file; ``-`` is standard input.
        kind: As ``kind_of`` gives it.
        columns: Which columns are asked, and which are kept.

    Raises:
        OSError: While iterating: the file cannot be read.
        BulkError: While iterating: the file is of another kind, lacks a column, or is damaged.
    """
    if kind == "parquet":
        from spanqa._bulk.parquet import parquet_rows

        return parquet_rows(path, columns)
    return _text_rows(path, kind, columns)


def _text_rows(path: str, kind: str, columns: Columns) -> Iterator[Row]:
    name = "standard input" if path == STANDARD else path
    try:
        with _opened(path) as packed, _unpacked(packed) as file:
            if kind == "jsonl":
                yield from _json_rows(file, name, columns)
            else:
                yield from _csv_rows(file, name, columns, _DELIMITERS[kind])
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise BulkError(f"{name} cannot be unpacked ({error}): it is damaged") from None


def _opened(path: str) -> io.BufferedReader:
    if path != STANDARD:
        return Path(path).open("rb")
    # A buffer of our own: at its end Python waits for a thread that reads in that of sys.stdin.
    buffer: Any = sys.stdin.buffer
    return io.BufferedReader(getattr(buffer, "raw", buffer))


def _unpacked(file: io.BufferedReader) -> io.BufferedReader:
    start = file.peek(6)
    openers = (opener for magic, opener in _PACKED.items() if start.startswith(magic))
    plain: io.BufferedReader = next(openers, lambda same: same)(file)
    if plain.peek(3).startswith(_BYTE_ORDER_MARK):
        plain.read(3)
    return plain


def _json_rows(file: io.BufferedReader, name: str, columns: Columns) -> Iterator[Row]:
    number = 0
    for line_number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        place = f"line {line_number}"
        values, problem = _parsed(line)
        if number == 0 and problem:
            raise BulkError(f"{name}, {place}, {problem}: one JSON object a line is expected")
        if number == 0:
            columns.check(values, name)
        columns.check_added(values, f"{name}, {place},")
        yield columns.row(number, values, f"{place} {problem}" if problem else "")
        number += 1


def _parsed(line: bytes) -> tuple[dict[str, Any], str]:
    """The object in a line, or what is wrong with it."""
    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError:
        return {}, _NOT_UTF8
    except (ValueError, RecursionError) as error:
        return {}, f"is not JSON ({error})"
    return (value, "") if isinstance(value, dict) else ({}, "is not a JSON object")


def _csv_rows(
    file: io.BufferedReader, name: str, columns: Columns, delimiters: str
) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    with io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="") as text:
        header, delimiter = _header(text.readline(), columns, delimiters)
        if twice := {column for column in header if header.count(column) > 1}:
            raise BulkError(f"{name} has the column {min(twice)!r} twice: rename one")
        columns.check(header, name)
        reader = csv.reader(text, delimiter=delimiter)
        number, line = 0, 2
        try:
            for cells in reader:
                if cells:
                    yield _csv_row(number, cells, header, columns, f"line {line}")
                    number += 1
                line = reader.line_num + 2
        except csv.Error as error:
            raise BulkError(
                f"{name}, line {line}, is not CSV ({error}): is a quotation mark not closed?"
            ) from None


def _header(line: str, columns: Columns, delimiters: str) -> tuple[list[str], str]:
    """The columns' names, and the delimiter with which the question is one of them."""
    headers = [(next(csv.reader([line], delimiter=one), []), one) for one in delimiters]
    fitting = (pair for pair in headers if columns.question in pair[0])
    return next(fitting, headers[0])


def _csv_row(number: int, cells: list[str], header: list[str], columns: Columns, place: str) -> Row:
    problem = ""
    if len(cells) != len(header):
        problem = f"{place} has {len(cells)} cells, the header {len(header)}"
    elif any(map(_is_damaged, cells)):
        problem = f"{place} {_NOT_UTF8}"
        cells = [cell.encode(errors="surrogateescape").decode(errors="replace") for cell in cells]
    filled = (*cells, *[""] * len(header))
    return columns.row(number, dict(zip(header, filled, strict=False)), problem)


def _is_damaged(cell: str) -> bool:
    return not cell.isascii() and any("\udc80" <= char <= "\udcff" for char in cell)
