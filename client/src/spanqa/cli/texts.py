"""Reads the texts that a command is given, as files or on standard input."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path

import typer

from spanqa import Document
from spanqa.cli.failures import fail, file_failures

# By its first bytes, the longer ones first: UTF-32's begins with UTF-16's.
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def read_documents(files: list[str]) -> list[Document]:
    """The texts, whose ids are the names of their files; ``-`` is standard input."""
    if files.count("-") > 1:
        raise typer.BadParameter("- (standard input) may be given once", param_hint="FILE")
    # The name of a file may not be valid UTF-8; an id must be.
    ids = [file.encode(errors="replace").decode() for file in files]
    return [Document(_read_text(file), id) for file, id in zip(files, ids, strict=True)]


def _read_text(file: str) -> str:
    where = "standard input" if file == "-" else file
    if file == "-" and sys.stdin.isatty():
        typer.echo("spanqa: type the text, then Ctrl-D", err=True)
    with file_failures(where, "read"):
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    marks = (name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark))
    encoding = next(marks, "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        fail(f"{where} is not {name} at byte {error.start}: convert it, with iconv for instance")
