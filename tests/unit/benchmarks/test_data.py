"""`make data` says what a file is, and what is missing."""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks import data
from support.squad import write_squad


def run(monkeypatch: pytest.MonkeyPatch, *arguments: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["data.py", *map(str, arguments)])
    data.main()


def test_a_well_formed_file_is_described_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_squad(tmp_path / "squad.json")
    run(monkeypatch, file)
    out = capsys.readouterr().out
    assert "https://rajpurkar.github.io/SQuAD-explorer/" in out
    assert "CC BY-SA 4.0" in out
    assert "not the official dev-v1.1.json: 6 questions" in out
    assert hashlib.sha256(file.read_bytes()).hexdigest() in out
    assert "copy it to .cache/squad/dev-v1.1.json" in out


def test_the_official_file_is_known_packed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_squad(tmp_path / "squad.json")
    packed = tmp_path / "squad.json.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    monkeypatch.setattr(data, "OFFICIAL_SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    for one in (file, packed):
        assert data.describe(one) == "the official dev-v1.1.json, 6 questions"


def test_what_is_no_v1_1_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"id": "1", "question": "Who?", "answers": [], "is_impossible": True}
    paragraphs = [{"context": "Nobody.", "qas": [entry]}]
    later = tmp_path / "v2.json"
    later.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for file, complaint in (
        (later, "SQuAD v2"),
        (broken, "is not JSON"),
        (tmp_path / "none.json", "no such file"),
    ):
        with pytest.raises(SystemExit, match=complaint):
            run(monkeypatch, file)
