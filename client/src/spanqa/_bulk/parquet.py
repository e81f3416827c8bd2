"""Parquet: rows read batch by batch, and finished answers written batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spanqa._bulk.rows import BulkError, Columns, Row

_BATCH_ROWS = 256
_ANSWER = {
    "answer": pa.string(),
    "start": pa.int64(),
    "end": pa.int64(),
    "score": pa.float64(),
    "probability": pa.float64(),
}
_TYPES = _ANSWER | {
    "no_answer_probability": pa.float64(),
    "more_answers": pa.list_(pa.struct(list(_ANSWER.items()))),
    "model_version": pa.string(),
    "windows": pa.int64(),
    "context_tokens": pa.int64(),
    "server_seconds": pa.float64(),
    "error_code": pa.string(),
    "error": pa.string(),
}
_Values = Mapping[str, Any]


def parquet_rows(path: str, columns: Columns) -> Iterator[Row]:
    """The rows of a Parquet file; see ``read_rows``."""
    number = 0
    for batch in _batches(path):
        if number == 0:
            columns.check(batch.schema.names, path)
        for values in batch.to_pylist():
            yield columns.row(number, values)
            number += 1


def write_parquet(rows: Path, made: Path, columns: Columns, source: Path | None) -> None:
    """Makes a Parquet file of answered rows.

    Args:
        rows: The answered rows, one JSON object a line.
        made: The file to write.
        columns: Which columns were added.
        source: The questions if they are Parquet, too: their columns keep their types. Others have
            the type of all their values, or string, which JSON is written to.
    """
    skip = len(columns.prefix)
    added = pa.schema([(name, _TYPES[name[skip:]]) for name in columns.added])
    own = _own_of(source, columns) if source else _own_of_lines(rows, columns)
    schema = pa.unify_schemas([own[0], added])
    with rows.open("rb") as lines, pq.ParquetWriter(made, schema) as writer:
        for batch in own[1]:
            answered = [json.loads(line) for line in islice(lines, batch.num_rows)]
            results = pa.RecordBatch.from_pylist(answered, schema=added)
            arrays = [*batch.columns, *results.columns]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


_Own = tuple[pa.Schema, Iterable[pa.RecordBatch]]


def _own_of(source: Path, columns: Columns) -> _Own:
    """The rows' own columns, as the questions' file has them."""
    with _opened(str(source)) as file:
        names = [
            name
            for name in file.schema_arrow.names
            if columns.keep_context or name != columns.context
        ]
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
    return schema, (batch.select(names) for batch in _batches(str(source)))


def _own_of_lines(rows: Path, columns: Columns) -> _Own:
    """The rows' own columns as JSON has them, typed by all their values."""
    added = set(columns.added)
    kinds: dict[str, set[type]] = {}
    for row in _objects(rows):
        for name, value in row.items():
            if name not in added:
                kinds.setdefault(name, set()).add(_kind(value))
    schema = pa.schema([(name, _common(found)) for name, found in kinds.items()])
    return schema, _typed(_objects(rows), schema)


def _typed(rows: Iterator[dict[str, Any]], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    strings = {field.name for field in schema if field.type == pa.string()}
    while some := list(islice(rows, _BATCH_ROWS)):
        plain = [
            {
                name: _text(row.get(name)) if name in strings else row.get(name)
                for name in schema.names
            }
            for row in some
        ]
        yield pa.RecordBatch.from_pylist(plain, schema=schema)


def _kind(value: object) -> type:
    is_huge = isinstance(value, int) and not -(2**63) <= value < 2**63
    return str if is_huge else type(value)


def _common(kinds: set[type]) -> pa.DataType:
    kinds = kinds - {type(None)}
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    return pa.float64() if kinds and kinds <= {int, float} else pa.string()


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _objects(rows: Path) -> Iterator[dict[str, Any]]:
    with rows.open("rb") as lines:
        yield from map(json.loads, lines)


def _batches(path: str) -> Iterator[pa.RecordBatch]:
    with _opened(path) as file:
        try:
            yield from file.iter_batches(batch_size=_BATCH_ROWS)
        except pa.ArrowException as error:
            raise BulkError(f"{path} cannot be read as Parquet ({error}): it is damaged") from None


def _opened(path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, pre_buffer=False)
    except pa.ArrowException as error:
        raise BulkError(f"{path} is not Parquet ({error})") from None
