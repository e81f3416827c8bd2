"""The commands `versions`, `withdraw` and `restore`, and what export says of withdrawn versions."""

import json
import os
import shutil
from pathlib import Path

import pytest

from spanqa_model.repository.configurations import CONFIGURATIONS
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.cli.commands import run_main
from unit.model.repository.version_files import EARLIER, make, snapshot


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions, named as a container names them."""
    for number in (1, 2):
        directory = make(tmp_path / "repository", number)
        os.utime(directory / "model.json", (1_750_000_000, 1_750_000_000))
    monkeypatch.setenv("SPANQA_MODEL_REPOSITORY", str(tmp_path / "repository"))
    return tmp_path / "repository"


def test_versions_come_and_go(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = repository.parent / "repository.withdrawn" / MODEL_NAME / "2"
    assert run_main(monkeypatch, "withdraw", "2") == 0
    assert capsys.readouterr().out == (
        f"version 2 is now {away}; bring it back with: spanqa-model restore 2\n"
    )
    assert away.is_dir()
    assert run_main(monkeypatch, "restore", "2") == 0
    back = repository / MODEL_NAME / "2"
    assert capsys.readouterr().out == f"version 2 is now {back}\n"
    assert back.is_dir()


def test_the_table(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / MODEL_NAME / "4").mkdir()
    assert run_main(monkeypatch, "versions") == 0
    lines = capsys.readouterr().out.splitlines()
    header, incomplete, newest, available = (line.split("  ") for line in lines)
    columns = ["version", "state", "name", "dtype", "device", "size", "exported (UTC)"]
    assert [cell.strip() for cell in header if cell] == columns
    assert [cell.strip() for cell in incomplete if cell][:3] == [
        "4",
        "incomplete: no model.json, model.pt, tokenizer.json, model.py",
        "-",
    ]
    rest = ["tiny", "float32", "cpu", "0.0 MB", "2025-06-15 15:06"]
    assert [cell.strip() for cell in newest if cell] == ["2", "newest", *rest]
    assert [cell.strip() for cell in available if cell] == ["1", "available", *rest]


def test_json(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main(monkeypatch, "withdraw", "2")
    capsys.readouterr()
    assert run_main(monkeypatch, "versions", "--json") == 0
    withdrawn, newest = json.loads(capsys.readouterr().out)
    assert (withdrawn["version"], withdrawn["state"]) == (2, "withdrawn")
    directory = repository / MODEL_NAME / "1"
    assert newest == {
        "version": 1,
        "state": "newest",
        "fault": None,
        "name": "tiny",
        "dtype": "float32",
        "device": "cpu",
        "size_bytes": sum(file.stat().st_size for file in directory.iterdir()),
        "exported": "2025-06-15T15:06:40+00:00",
    }


def test_a_repository_without_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / MODEL_NAME).mkdir()
    assert run_main(monkeypatch, "versions", "--repository", tmp_path) == 0
    assert "has no versions" in capsys.readouterr().out
    assert run_main(monkeypatch, "versions", "--repository", tmp_path, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("versions", "--repository", "elsewhere"), "elsewhere is not a model repository"),
        (("withdraw", "3"), "has no version 3; its versions: 1, 2"),
        (("restore", "1"), "version 1 is not withdrawn"),
        (("export", "--version", "2"), "exists and versions never change"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_refusals_are_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    text = run_main(monkeypatch, *arguments)
    assert isinstance(text, str)
    assert text.startswith("spanqa-model: ")
    assert message in text
    assert "\n" not in text


def test_the_last_version_goes_with_force(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_main(monkeypatch, "withdraw", "1") == 0
    assert "--force" in str(run_main(monkeypatch, "withdraw", "2"))
    assert (repository / MODEL_NAME / "2").is_dir()
    assert run_main(monkeypatch, "withdraw", "2", "--force") == 0
    assert not (repository / MODEL_NAME / "2").exists()


@pytest.mark.usefixtures("repository")
def test_export_and_a_withdrawn_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main(monkeypatch, "withdraw", "2")
    capsys.readouterr()
    text = str(run_main(monkeypatch, "export", "--version", "2"))
    assert "version 2 is withdrawn and no number is used twice" in text
    assert "spanqa-model restore 2" in text
    assert run_main(monkeypatch, "export", "--version", "2", "--if-missing") == 0
    captured = capsys.readouterr()
    assert captured.out == (
        "version 2 already exists, but is withdrawn: nothing to export "
        "(bring it back with: spanqa-model restore 2)\n"
    )
    assert captured.err == ""


def test_export_if_missing_brings_old_configurations_up_to_date(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Containers start with it, so an existing volume gets a repaired configuration."""
    installed = repository / MODEL_NAME / "config.pbtxt"
    shutil.copyfile(EARLIER / "config.pbtxt", installed)
    nothing = "version 1 already exists: nothing to export"
    arguments = ("export", "--version", "1", "--if-missing")
    assert run_main(monkeypatch, *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{installed} was updated to this release", nothing]
    assert installed.read_bytes() == (CONFIGURATIONS / "config.pbtxt").read_bytes()
    before = snapshot(repository.parent)
    assert run_main(monkeypatch, *arguments) == 0
    assert capsys.readouterr().out.splitlines() == [nothing]
    assert snapshot(repository.parent) == before


def test_export_if_missing_warns_where_configurations_cannot_be_replaced(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / MODEL_NAME / "config.pbtxt").unlink()
    (repository.parent / "repository.staging").write_text("in the way", encoding="utf-8")
    assert run_main(monkeypatch, "export", "--version", "1", "--if-missing") == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("spanqa-model: warning: cannot write to ")
    assert captured.out == "version 1 already exists: nothing to export\n"


@pytest.mark.parametrize("arguments", [("withdraw",), ("withdraw", "0"), ("restore", "x")])
@pytest.mark.usefixtures("repository")
def test_wrong_usage_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    assert run_main(monkeypatch, *arguments) == 2
