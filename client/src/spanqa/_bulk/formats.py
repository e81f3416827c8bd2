"""The text formats of answers: a row to bytes and back, and where whole rows end in a cut file."""

from __future__ import annotations

import base64
import csv
import datetime
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

_LINE_END = b"\r\n"


class RowFormat(Protocol):
    """How rows are written."""

    @property
    def head(self) -> bytes:
        """What stands before the first row."""

    def encode(self, row: Mapping[str, Any]) -> bytes:
        """A whole row, with its end."""

    def decode(self, record: bytes) -> dict[str, Any]:
        """The row of a whole record; raises ValueError if it is none."""

    def records(self, file: Iterable[bytes]) -> Iterator[bytes]:
        """The whole records of a file, given line by line; a cut one at the end is left out."""


class JsonLines:
    """One object a line."""

    head = b""

    def encode(self, row: Mapping[str, Any]) -> bytes:
        text = json.dumps(row, ensure_ascii=False, default=_as_json)
        try:
            return text.encode() + b"\n"
        except UnicodeEncodeError:  # a lone surrogate, which only an escape can stand for
            return json.dumps(row, default=_as_json).encode() + b"\n"

    def decode(self, record: bytes) -> dict[str, Any]:
        row = json.loads(record)
        if not isinstance(row, dict):
            raise ValueError("not an object")
        return row

    def records(self, file: Iterable[bytes]) -> Iterator[bytes]:
        return (line for line in file if line.endswith(b"\n"))


class Csv:
    """Cells as RFC 4180 has them; what is neither text nor a number is JSON, and None is empty."""

    def __init__(self, columns: Sequence[str], delimiter: str) -> None:
        self._columns = tuple(columns)
        self._delimiter = delimiter

    @property
    def head(self) -> bytes:
        return self._line(self._columns)

    def encode(self, row: Mapping[str, Any]) -> bytes:
        return self._line(_cell(row.get(column)) for column in self._columns)

    def decode(self, record: bytes) -> dict[str, Any]:
        text = io.StringIO(record.decode(), newline="")
        cells = next(csv.reader(text, delimiter=self._delimiter, strict=True))
        return dict(zip(self._columns, cells, strict=True))

    def records(self, file: Iterable[bytes]) -> Iterator[bytes]:
        lines: list[bytes] = []
        is_quoted = False
        for line in file:
            lines.append(line)
            is_quoted ^= line.count(b'"') % 2 == 1
            if not is_quoted and line.endswith(_LINE_END):
                yield b"".join(lines)
                lines.clear()

    def _line(self, cells: Iterable[str]) -> bytes:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=self._delimiter).writerow(cells)
        return text.getvalue().encode(errors="replace")


def fingerprint(format: RowFormat, carried: Mapping[str, Any]) -> int:
    """A number that tells the row by its own columns; never 0."""
    return zlib.crc32(format.encode(carried)) or 1


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False, default=_as_json)
    return str(json.loads(text)) if text.startswith('"') else text


def _as_json(value: object) -> object:
    """What Parquet knows and JSON does not."""
    if isinstance(value, datetime.date | datetime.time):  # datetime is a date
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
