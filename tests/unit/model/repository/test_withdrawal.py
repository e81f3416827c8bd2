"""Versions go and come back by one rename, and are refused where that would do harm."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spanqa_model.errors import VersionError
from spanqa_model.figures import Figures
from spanqa_model.repository.promotion import promote, record_figures
from spanqa_model.repository.versions import MODEL_NAME
from spanqa_model.repository.withdrawal import restore, withdraw
from unit.model.repository.version_files import make, other_filesystem, snapshot

Command = Callable[[Path, int], Path]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two versions."""
    for number in (1, 2):
        make(tmp_path / "repository", number, f"weights {number}")
    return tmp_path / "repository"


@pytest.fixture
def withdrawn(tmp_path: Path) -> Path:
    return tmp_path / "repository.withdrawn" / MODEL_NAME


def test_a_version_goes_and_comes_back_and_nothing_else_changes(
    repository: Path, withdrawn: Path
) -> None:
    served = repository / MODEL_NAME
    before, content = snapshot(served), snapshot(served / "2")
    assert withdraw(repository, 2) == withdrawn / "2"
    left = {name for name in before if not (name == "2" or name.startswith("2/"))}
    assert set(snapshot(served)) == left
    assert snapshot(withdrawn / "2") == content, "moved, not copied"
    assert restore(repository, 2) == served / "2"
    after = snapshot(served)
    assert {name for name in before.keys() | after if before.get(name) != after.get(name)} == {"."}
    assert [*withdrawn.iterdir()] == []


def refused(command: Command, repository: Path, version: int) -> str:
    before = snapshot(repository.parent)
    with pytest.raises(VersionError) as caught:
        command(repository, version)
    assert snapshot(repository.parent) == before
    return str(caught.value)


def test_what_is_not_there_or_done_already_is_refused(repository: Path) -> None:
    assert refused(withdraw, repository, 3).endswith("has no version 3; its versions: 1, 2")
    assert refused(restore, repository, 3).endswith("has no version 3; its versions: none")
    assert "not withdrawn" in refused(restore, repository, 2)
    withdraw(repository, 2)
    assert refused(withdraw, repository, 2) == "version 2 is already withdrawn"


def test_the_last_complete_version_is_refused_unless_forced(repository: Path) -> None:
    (repository / MODEL_NAME / "1" / "model.pt").unlink()
    assert "--force" in refused(withdraw, repository, 2)
    assert withdraw(repository, 1).is_dir(), "an incomplete one serves nobody"
    assert "--force" in refused(withdraw, repository, 2)
    assert withdraw(repository, 2, force=True).is_dir()


@pytest.mark.parametrize("held", [{"hold": True}, {"f1": 5.0}])
def test_held_versions_do_not_count_as_left(repository: Path, held: dict[str, Any]) -> None:
    record_figures(repository, 2, Figures(70.0, 80.0))
    make(repository, 3, "worse", **held)
    withdraw(repository, 1)
    assert refused(withdraw, repository, 2) == (
        "without version 2 only held versions are left (3): promote one first, or use --force"
    )
    promote(repository, 3)
    assert withdraw(repository, 2).is_dir()


@pytest.mark.parametrize("command", [withdraw, restore])
def test_a_number_that_is_there_twice(repository: Path, withdrawn: Path, command: Command) -> None:
    (withdrawn / "2").mkdir(parents=True)
    text = refused(command, repository, 2)
    assert str(repository / MODEL_NAME / "2") in text
    assert str(withdrawn / "2") in text
    assert text.endswith("exist: remove the wrong one")


def test_another_filesystem(repository: Path, withdrawn: Path, tmp_path: Path) -> None:
    with other_filesystem(tmp_path) as mounted:
        withdrawn.parent.symlink_to(mounted)
        withdrawn.mkdir()
        assert "mount the volume one level up" in refused(withdraw, repository, 2)


def test_somebody_else_is_faster(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def late(path: Path, target: Path) -> Path:
        rename(path, target.with_name("elsewhere"))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(VersionError, match="has just been moved or removed"):
        withdraw(repository, 2)
