"""Packed files, encodings, standard input, and files that cannot be read."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from spanqa.squad import Question, SquadFormatError, read_dataset, read_training_questions
from unit.client.squad.squad_files import Reader, both_readers, squad, written


def zipped(data: bytes, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names or ("__MACOSX/._dev.json", "dev.json"):
            archive.writestr(name, data)
    return buffer.getvalue()


@both_readers
@pytest.mark.parametrize("suffix", [".json", ".json.xz", ".gz", ".bin", ""])
@pytest.mark.parametrize(
    "pack", [bytes, lzma.compress, gzip.compress, bz2.compress, zipped], ids=lambda p: p.__name__
)
def test_files_are_read_packed_or_not_whatever_their_name(
    tmp_path: Path, read: Reader, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"dev{suffix}"
    path.write_bytes(pack(json.dumps(squad()).encode()))
    start = 4 if read is read_training_questions else None
    assert read(path) == [Question("1", "Qué?", "Did Ada?", ("Ada",), start)]


@both_readers
@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: gzip.compress(codecs.BOM_UTF8 + text.encode()),
    ],
)
def test_a_byte_order_mark_is_no_part_of_the_text(
    tmp_path: Path, read: Reader, encoded: Callable[[str], bytes]
) -> None:
    text = json.dumps(squad(), ensure_ascii=False)
    (question,) = read(written(tmp_path / "dev.json", encoded(text)))
    assert question.question == "Qué?"


@both_readers
@pytest.mark.parametrize(
    ("changes", "read_as"),
    [
        ({"question": "Who \ud83d?"}, ("Who \ufffd?", "Did Ada?", "Ada")),
        ({"context": "Did Ada \ude00"}, ("Qué?", "Did Ada \ufffd", "Ada")),
        (
            {"context": "Did \ud83d?", "answers": [{"text": "\ud83d", "answer_start": 4}]},
            ("Qué?", "Did \ufffd?", "\ufffd"),
        ),
    ],
)
def test_half_of_a_character_is_read_as_the_replacement_character(
    tmp_path: Path, read: Reader, changes: dict[str, str], read_as: tuple[str, ...]
) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(squad(**changes)))
    (question,) = read(path)
    assert (question.question, question.context, *question.answers) == read_as
    assert any("lone surrogate" in notice for notice in read_dataset([path]).notices)


def test_a_lone_surrogate_in_an_id_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(squad(id="q\udc80")))
    assert read_dataset([path]).questions[0].id.encode() == "q\ufffd".encode()


def test_standard_input_and_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = written(tmp_path / "a.json", squad(id=...))
    last = written(tmp_path / "c.jsonl", '{"question": "c", "context": "d"}\n')
    packed = gzip.compress(json.dumps(squad()).encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(packed)))
    dataset = read_dataset([first, Path("-"), last])
    assert [question.id for question in dataset.questions] == ["question-1", "1", "question-3"]
    places = [question.place.partition(":")[0] for question in dataset.questions]
    assert places == [str(first), "standard input", str(last)]
    with pytest.raises(SquadFormatError, match="standard input: is not JSON"):
        read_dataset([Path("-")])


@both_readers
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("x.json", b"{", "is not JSON"),
        ("x.json", b"", "is not JSON"),
        ("x.json", b'"\xff"', "is not JSON"),
        ("x.json", b"[" * 100_000, "is not JSON"),
        ("x.json", b'{"data":[' * 2000 + b"]}" * 2000, "is (nested too deeply|not JSON)"),
        ("x.csv", b"question,context\nWho?,caf\xe9", "is not JSON, nor text in UTF-8"),
        ("x.xz", b"{}", "data is missing"),
        ("x.gz", b"{}", "data is missing"),
        ("x.gz", gzip.compress(b"{}" * 100, mtime=0)[:-9], "cannot be decompressed"),
        ("x.xz", lzma.compress(b"{}" * 100)[:-9], "cannot be decompressed"),
        ("x.json", bz2.compress(b"{}" * 100)[:-9], "cannot be decompressed"),
        ("x.json", zipped(b"{}")[:-9], "cannot be decompressed"),
        ("x.json", zipped(b"{}", "a", "b"), r"cannot be decompressed \(it holds 2 files"),
        ("x.json", b"\x28\xb5\x2f\xfd....", "is packed with zstd; unpack it first"),
    ],
)
def test_unreadable_files_are_refused(
    tmp_path: Path, read: Reader, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SquadFormatError, match=f"{name}: {message}"):
        read(path)
