"""From a file to the values in it: unpacks and parses by content, whatever the file's name."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from spanqa.squad.questions import REMEDY, SquadFormatError
from spanqa.squad.tables import csv_rows, parquet_rows

STANDARD_INPUT = Path("-")
_ZSTD = b"\x28\xb5\x2f\xfd"
_PARQUET = b"PAR1"
_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def values_of(path: Path) -> Iterator[tuple[object, str]]:
    """The values in a file, each with its place as a prefix for messages.

    A JSON file is one value; each line of JSON lines and each row of a table is one.

    Args:
        path: The file; ``-`` is standard input.

    Raises:
        OSError: The file cannot be read.
        SquadFormatError: The file cannot be unpacked or parsed.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    data = sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
    data = _unpacked(data, name)
    if data.startswith(_PARQUET):
        return _rows(parquet_rows(data, name), name)
    return _parsed(_decoded(data, name), name)


def _unpacked(data: bytes, name: str) -> bytes:
    if data.startswith(_ZSTD):
        raise SquadFormatError(f"{name}: is packed with zstd; unpack it first, with zstd -d")
    for magic, unpack in _UNPACK.items():
        if data.startswith(magic):
            try:
                return unpack(data)
            except (
                lzma.LZMAError,
                OSError,
                zlib.error,
                zipfile.BadZipFile,
                ValueError,
                EOFError,
                RuntimeError,
            ) as error:
                raise SquadFormatError(
                    f"{name}: cannot be decompressed ({error}); {REMEDY}"
                ) from None
    return data


def _only_member(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir() and not member.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            raise ValueError(f"it holds {len(members)} files, not one: unpack it first")
        return archive.read(members[0])


_UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"\xfd7zXZ\x00": lzma.decompress,
    b"BZh": bz2.decompress,
    b"PK\x03\x04": _only_member,
}


def _decoded(data: bytes, name: str) -> str:
    encoding = next((_ENCODINGS[bom] for bom in _ENCODINGS if data.startswith(bom)), "utf-8")
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise SquadFormatError(
            f"{name}: is not JSON, nor text in UTF-8 (see byte {error.start}); if it is text, "
            "convert it to UTF-8, with iconv for instance"
        ) from None


def _parsed(text: str, name: str) -> Iterator[tuple[object, str]]:
    try:
        return iter([(json.loads(text), f"{name}: ")])
    except (ValueError, RecursionError) as error:
        if _starts_with_json_line(text):
            return _json_lines(text, name)
        if not text.lstrip().startswith(("{", "[")):
            rows = csv_rows(text, name)
            if rows is not None:
                return _rows(rows, name)
        raise SquadFormatError(f"{name}: is not JSON ({error}); {REMEDY}") from None


def _starts_with_json_line(text: str) -> bool:
    first, _, rest = text.lstrip().partition("\n")
    try:
        return isinstance(json.loads(first), dict) and bool(rest.strip())
    except (ValueError, RecursionError):
        return False


def _json_lines(text: str, name: str) -> Iterator[tuple[object, str]]:
    # Not splitlines: JSON strings may hold U+2028 and other ends of lines.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SquadFormatError(f"{name}: line {number} is not JSON ({error})") from None
        yield value, f"{name}: line {number}: "


def _rows(rows: Iterator[dict[str, object]], name: str) -> Iterator[tuple[object, str]]:
    for number, row in enumerate(rows, start=1):
        yield row, f"{name}: row {number}: "
