"""Configurations of earlier releases are replaced; those that an operator edited are not."""

import hashlib
import logging
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
from unit.model.repository.version_files import let_release_supersede, snapshot

ROOT = Path(__file__).resolve().parents[4]


def shipped(relative: str) -> bytes:
    return (CONFIGURATIONS / relative).read_bytes()


def install(model: Path) -> None:
    workspace = model.with_name("workspace")
    workspace.mkdir(exist_ok=True)
    install_configurations(model, outdated_configurations(model), workspace)
    assert [*workspace.iterdir()] == []


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's directory with this release's configurations."""
    (tmp_path / "model").mkdir()
    install(tmp_path / "model")
    return tmp_path / "model"


def test_a_fresh_model_directory_gets_all_which_are_not_touched_again(model: Path) -> None:
    for relative in CONFIGURATION_FILES:
        assert (model / relative).read_bytes() == shipped(relative)
        assert (model / relative).stat().st_mode & 0o444 == 0o444, "Triton is another user"
    files = {str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()}
    assert files == {*CONFIGURATION_FILES}
    before = snapshot(model)
    install(model)
    assert snapshot(model) == before


@pytest.mark.parametrize("relative", CONFIGURATION_FILES)
@pytest.mark.parametrize("edited", [False, True])
def test_an_earlier_releases_is_replaced_and_an_operators_edit_is_kept_and_named(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    relative: str,
    edited: bool,
) -> None:
    let_release_supersede(monkeypatch, model / relative, relative)
    if edited:
        with (model / relative).open("a", encoding="utf-8") as file:
            file.write("# ours\n")
    before = snapshot(model)
    install(model)
    changed = {name for name, seen in snapshot(model).items() if seen != before[name]}
    if edited:
        [record] = caplog.records
        assert changed == set()
        assert record.levelno == logging.WARNING
        assert str(model / relative) in record.getMessage()
        assert str(CONFIGURATIONS / relative) in record.getMessage()
    else:
        assert caplog.records == []
        assert changed == {relative, str(Path(relative).parent)}
        assert (model / relative).read_bytes() == shipped(relative)


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
