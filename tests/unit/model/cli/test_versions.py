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
        (("promote", "3"), "has no version 3; its versions: 1, 2"),
        (("measured", "3", "--em", "1", "--f1", "2"), "has no version 3; its versions: 1, 2"),
        (("measured", "1", "--report", "nowhere.json"), "nowhere.json: No such file"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_refusals_are_one_line(shell: Shell, arguments: tuple[str, ...], message: str) -> None:
    assert message in shell(*arguments).message


def test_what_is_measured_is_recorded_shown_and_counts(shell: Shell, repository: Path) -> None:
    before = snapshot(repository / MODEL_NAME)
    said = "version 1: EM 70.50, F1 80.25\n"
    assert shell("measured", "1", "--em", "70.5", "--f1", "80.25") == (0, said, "")
    done = shell("measured", "2", "--em", "3", "--f1", "5")
    why = "F1 5.00, but version 1 has 80.25"
    assert done.out == (
        "version 2: EM 3.00, F1 5.00\n"
        f"version 2 is held ({why}); let it serve with: spanqa-model promote 2\n"
    )
    lines = shell("versions").out.splitlines()
    assert f"held: {why}" in lines[1]
    assert lines[2].split()[1:5] == ["candidate", "tiny", "70.50", "80.25"]
    assert "candidate" in shell("versions", "--max-f1-drop", "80").out.splitlines()[1]
    assert shell("promote", "2") == (0, "version 2 may serve now\n", "")
    assert [v["state"] for v in json.loads(shell("versions", "--json").out)] == [
        "candidate",
        "available",
    ]
    assert snapshot(repository / MODEL_NAME) == before, "Triton would reload what serves"


def test_a_promoted_version_goes_after_a_newer_one(shell: Shell, repository: Path) -> None:
    make(repository, 3, hold=True)
    make(repository, 4)
    said = "version 3 may serve now; version 4, which is newer, goes first\n"
    assert shell("promote", "3") == (0, said, "")


def test_what_cannot_be_promoted(shell: Shell, repository: Path) -> None:
    (repository / MODEL_NAME / "2" / "model.pt").unlink()
    message = shell("promote", "2").message
    assert "version 2 is broken (no model.pt) and cannot serve: export again" in message
    make(repository, 3)
    shell("withdraw", "3")
    message = shell("promote", "3").message
    assert "version 3 is withdrawn: bring it back with: spanqa-model restore 3" in message


def test_a_restored_version_may_be_held(shell: Shell, repository: Path) -> None:
    make(repository, 3, hold=True)
    shell("withdraw", "3")
    held = "version 3 is held (by export --hold); let it serve with: spanqa-model promote 3"
    assert held in shell("restore", "3").out


REPORT = {"model_version": "1", "questions": 4, "answered": 4, "exact_match": 50.0, "f1": 62.5}


def test_figures_come_from_a_report_of_evaluate(shell: Shell, repository: Path) -> None:
    file = repository.parent / "report.json"
    file.write_text(json.dumps(REPORT), encoding="utf-8")
    done = shell("measured", "1", "--report", file)
    assert done == (0, "version 1: EM 50.00, F1 62.50\n", "")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"model_version": "2"}, "is about version 2, not 1"),
        ({"answered": 3}, "some questions failed, and count as 0 there: evaluate again"),
        ({"f1": float("nan")}, "is not what spanqa evaluate --json prints"),
        (None, "is not what spanqa evaluate --json prints"),
    ],
)
def test_reports_that_say_nothing(
    shell: Shell, repository: Path, changes: dict[str, object] | None, problem: str
) -> None:
    file = repository.parent / "report.json"
    text = "no JSON" if changes is None else json.dumps(REPORT | changes)
    file.write_text(text, encoding="utf-8")
    assert shell("measured", "1", "--report", file).message == f"spanqa-model: {file}: {problem}"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "give --em and --f1, or --report"),
        (("--em", "70"), "give --em and --f1, or --report"),
        (("--em", "70", "--f1", "80", "--report", "r.json"), "give --em and --f1, or --report"),
        (("--em", "nan", "--f1", "80"), "--em nan: must be a number from 0 to 100"),
        (("--em", "70", "--f1", "100.5"), "--f1 100.5: must be a number from 0 to 100"),
    ],
)
@pytest.mark.usefixtures("repository")
def test_figures_that_are_none(shell: Shell, options: tuple[str, ...], problem: str) -> None:
    done = shell("measured", "1", *options)
    assert done.code == 2
    assert problem in " ".join(done.err.split())


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
