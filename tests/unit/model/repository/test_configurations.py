"""Configurations of earlier releases are replaced; those that an operator edited are not."""

import hashlib
import logging
import shutil
import subprocess
from pathlib import Path

import pytest

from spanqa_model.repository.configurations import (
    CONFIGURATION_FILES,
    CONFIGURATIONS,
    SUPERSEDED,
    install_configurations,
    outdated_configurations,
)
from unit.model.repository.version_files import EARLIER, snapshot

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


def install(model: Path, workspace: Path) -> list[str]:
    files = outdated_configurations(model)
    install_configurations(model, files, workspace)
    return files


def shipped(relative: str) -> bytes:
    return (CONFIGURATIONS / relative).read_bytes()


def test_a_fresh_model_directory_gets_all(model: Path, workspace: Path) -> None:
    install(model, workspace)
    for relative in CONFIGURATION_FILES:
        assert (model / relative).read_bytes() == shipped(relative)
        assert (model / relative).stat().st_mode & 0o444 == 0o444, "Triton is another user"
    files = {str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()}
    assert files == {*CONFIGURATION_FILES}
    assert [*workspace.iterdir()] == []


def test_present_ones_are_not_touched(model: Path, workspace: Path) -> None:
    install(model, workspace)
    before = snapshot(model)
    install(model, workspace)
    assert snapshot(model) == before


@pytest.mark.parametrize("relative", CONFIGURATION_FILES)
def test_one_that_an_earlier_release_shipped_is_replaced(
    model: Path, workspace: Path, relative: str, caplog: pytest.LogCaptureFixture
) -> None:
    install(model, workspace)
    shutil.copyfile(EARLIER / Path(relative).name, model / relative)
    before = snapshot(model)
    install(model, workspace)
    assert (model / relative).read_bytes() == shipped(relative)
    changed = {name for name, seen in snapshot(model).items() if seen != before[name]}
    assert changed == {relative, str(Path(relative).parent)}
    assert caplog.records == []


@pytest.mark.parametrize("relative", CONFIGURATION_FILES)
def test_one_that_an_operator_edited_is_kept_and_named(
    model: Path, workspace: Path, relative: str, caplog: pytest.LogCaptureFixture
) -> None:
    install(model, workspace)
    shutil.copyfile(EARLIER / Path(relative).name, model / relative)
    with (model / relative).open("a", encoding="utf-8") as file:
        file.write("# ours\n")
    before = snapshot(model)
    install(model, workspace)
    assert snapshot(model) == before
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert str(model / relative) in record.getMessage()
    assert str(CONFIGURATIONS / relative) in record.getMessage()


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True).stdout


def has_history() -> bool:
    try:
        return git("rev-parse", "--is-shallow-repository").strip() == b"false"
    except (OSError, subprocess.CalledProcessError):
        return False


@pytest.mark.skipif(not has_history(), reason="needs git and the whole history")
@pytest.mark.parametrize("relative", CONFIGURATION_FILES)
def test_everything_that_was_ever_shipped_is_known(relative: str) -> None:
    path = f"model_repository/bert_qa/{relative}"
    commits = git("log", "--full-history", "--format=%H", "--", path).decode().split()
    contents = {git("show", f"{commit}:{path}") for commit in commits} - {shipped(relative)}
    assert contents
    assert {hashlib.sha256(content).hexdigest() for content in contents} == SUPERSEDED[relative]


def test_no_present_one_is_superseded() -> None:
    for relative, checksums in SUPERSEDED.items():
        assert hashlib.sha256(shipped(relative)).hexdigest() not in checksums
