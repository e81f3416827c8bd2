"""The commands `versions`, `withdraw` and `restore`, and `export --if-missing`."""

import json
import os
from pathlib import Path

import pytest

from spanqa_model.repository.configurations import CONFIGURATIONS
from spanqa_model.repository.versions import MODEL_NAME
from unit.model.finetune.runs import Shell
from unit.model.repository.version_files import let_release_supersede, make, snapshot


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two versions, named as a container names them."""
    for number in (1, 2):
        directory = make(tmp_path / "repository", number)
        os.utime(directory / "model.json", (1_750_000_000, 1_750_000_000))
    monkeypatch.setenv("SPANQA_MODEL_REPOSITORY", str(tmp_path / "repository"))
    return tmp_path / "repository"


def test_versions_come_and_go(shell: Shell, repository: Path) -> None:
    away = repository.parent / "repository.withdrawn" / MODEL_NAME / "2"
    back = repository / MODEL_NAME / "2"
    said = f"version 2 is now {away}; bring it back with: spanqa-model restore 2\n"
    assert shell("withdraw", "2") == (0, said, "")
    assert away.is_dir()
    assert shell("restore", "2") == (0, f"version 2 is now {back}\n", "")
    assert back.is_dir()
    assert shell("withdraw", "1").code == 0
    assert "--force" in shell("withdraw", "2").message
    assert back.is_dir()
    assert shell("withdraw", "2", "--force").code == 0
    assert not back.exists()


def test_the_table(shell: Shell, repository: Path) -> None:
    (repository / MODEL_NAME / "4").mkdir()
    lines = shell("versions").out.splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell] for line in lines]
    facts = ["tiny", "-", "-", "float32", "cpu", "0.0 MB", "2025-06-15 15:06"]
    more = ["dtype", "device", "size", "exported (UTC)"]
    missing = "broken: no model.json, model.pt, tokenizer.json, model.py"
    assert cells[0] == ["version", "state", "name", "EM", "F1", *more]
    assert cells[1][:3] == ["4", missing, "-"]
    assert cells[2:] == [["2", "candidate", *facts], ["1", "available", *facts]]


def test_json(shell: Shell, repository: Path) -> None:
    shell("withdraw", "2")
    withdrawn, newest = json.loads(shell("versions", "--json").out)
    assert (withdrawn["version"], withdrawn["state"]) == (2, "withdrawn")
    directory = repository / MODEL_NAME / "1"
    assert newest == {
        "version": 1,
        "state": "candidate",
        "reason": None,
        "name": "tiny",
        "dtype": "float32",
        "device": "cpu",
        "exact_match": None,
        "f1": None,
        "size_bytes": sum(file.stat().st_size for file in directory.iterdir()),
        "exported": "2025-06-15T15:06:40+00:00",
    }


def test_a_repository_without_versions(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / MODEL_NAME).mkdir()
    assert "has no versions" in shell("versions", "--repository", tmp_path).out
    assert json.loads(shell("versions", "--repository", tmp_path, "--json").out) == []


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
def test_refusals_are_one_line(shell: Shell, arguments: tuple[str, ...], message: str) -> None:
    assert message in shell(*arguments).message


IF_MISSING = ("export", "--version", "1", "--if-missing")
NOTHING = "version 1 already exists: nothing to export\n"


@pytest.mark.usefixtures("repository")
def test_export_if_missing_does_not_replace_a_withdrawn_version(shell: Shell) -> None:
    shell("withdraw", "1")
    said = (
        "version 1 already exists, but is withdrawn: nothing to export "
        "(bring it back with: spanqa-model restore 1)\n"
    )
    assert shell(*IF_MISSING) == (0, said, "")


def test_export_if_missing_brings_old_configurations_up_to_date(
    shell: Shell, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers start with it, so an existing volume gets a repaired configuration."""
    installed = repository / MODEL_NAME / "config.pbtxt"
    let_release_supersede(monkeypatch, installed, "config.pbtxt")
    said = f"{installed} was updated to this release\n{NOTHING}"
    assert shell(*IF_MISSING) == (0, said, "")
    assert installed.read_bytes() == (CONFIGURATIONS / "config.pbtxt").read_bytes()
    before = snapshot(repository.parent)
    assert shell(*IF_MISSING) == (0, NOTHING, "")
    assert snapshot(repository.parent) == before


def test_export_if_missing_warns_where_configurations_cannot_be_replaced(
    shell: Shell, repository: Path
) -> None:
    (repository / MODEL_NAME / "config.pbtxt").unlink()
    (repository.parent / "repository.staging").write_text("in the way", encoding="utf-8")
    done = shell(*IF_MISSING)
    assert (done.code, done.out) == (0, NOTHING)
    assert done.err.startswith("spanqa-model: warning: cannot write to ")
