"""Versions appear whole or not at all, never change, and no number is used twice."""

import json
from pathlib import Path

import pytest

from spanqa_model.configurations import CONFIGURATION_FILES
from spanqa_model.errors import ExportError
from spanqa_model.versions import (
    BACKEND,
    MODEL_NAME,
    next_version,
    staged_version,
    withdrawn_versions,
    write_manifest,
)
from unit.model.version_files import make


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def entries(repository: Path) -> set[str]:
    """What lies beside the configurations."""
    ours = {Path(name).parts[0] for name in CONFIGURATION_FILES}
    return {path.name for path in (repository / MODEL_NAME).iterdir()} - ours


def test_a_version_appears_when_the_block_ends(repository: Path) -> None:
    target = repository / MODEL_NAME / "1"
    with staged_version(repository, 1) as staging:
        (staging / "model.pt").write_text("weights", encoding="utf-8")
        assert not target.exists()
    assert not staging.exists()
    assert (target / "model.pt").read_text(encoding="utf-8") == "weights"
    assert (target / "model.py").read_bytes() == BACKEND.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o755, "Triton may run as another user"


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_when_the_block_raises(
    repository: Path, failure: type[BaseException]
) -> None:
    def fail() -> None:
        with staged_version(repository, 1) as staging:
            (staging / "model.pt").write_text("half", encoding="utf-8")
            raise failure

    with pytest.raises(failure):
        fail()
    assert entries(repository) == set()
    assert [path.name for path in repository.parent.iterdir()] == [repository.name]
    assert next_version(repository) == 1


def test_a_full_disk_is_one_clear_error(repository: Path) -> None:
    def fail() -> None:
        with staged_version(repository, 1):
            raise OSError(28, "No space left on device")

    with pytest.raises(ExportError, match=r"cannot write .*1: No space left on device$"):
        fail()
    assert entries(repository) == set()


def test_an_existing_version_is_refused_and_unchanged(repository: Path) -> None:
    target = make(repository, 3, "first")
    with pytest.raises(ExportError, match="exists and versions never change"):
        make(repository, 3, "second")
    assert (target / "model.pt").read_text(encoding="utf-8") == "first"
    assert entries(repository) == {"3"}


def withdraw_by_hand(repository: Path, version: int) -> Path:
    target = withdrawn_versions(repository) / str(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    return (repository / MODEL_NAME / str(version)).rename(target)


def test_the_number_of_a_withdrawn_version_stays_taken(repository: Path) -> None:
    make(repository, 1)
    make(repository, 2, "first")
    withdrawn = withdraw_by_hand(repository, 2)
    assert next_version(repository) == 3
    with pytest.raises(ExportError, match=r"withdrawn .* spanqa-model restore 2$"):
        make(repository, 2, "second")
    assert (withdrawn / "model.pt").read_text(encoding="utf-8") == "first"
    assert entries(repository) == {"1"}


@pytest.mark.parametrize("withdrawn", [False, True])
def test_of_two_exports_at_once_the_later_one_is_refused(repository: Path, withdrawn: bool) -> None:
    def both() -> None:
        with staged_version(repository, 1) as staging:
            (staging / "model.pt").write_text("slow", encoding="utf-8")
            make(repository, 1, "fast")
            if withdrawn:
                withdraw_by_hand(repository, 1)

    with pytest.raises(ExportError, match="choose another"):
        both()
    there = withdrawn_versions(repository) if withdrawn else repository / MODEL_NAME
    assert (there / "1" / "model.pt").read_text(encoding="utf-8") == "fast"
    assert entries(repository) == (set() if withdrawn else {"1"})


def test_a_repository_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory", encoding="utf-8")
    with pytest.raises(ExportError, match=r"cannot write to .*file"):
        make(tmp_path / "file", 1)


def test_numbers_go_up_from_the_newest(repository: Path) -> None:
    assert next_version(repository) == 1
    make(repository, 1)
    assert next_version(repository) == 2
    make(repository, 10)
    assert next_version(repository) == 11, "numbers, not strings, are compared"


def test_only_directories_with_plain_numbers_are_versions(repository: Path) -> None:
    model = repository / MODEL_NAME
    for name in ("2", "configs", "-5", "7.5", ".staging-9"):
        (model / name).mkdir(parents=True)
    (model / "40").write_text("a file", encoding="utf-8")
    assert next_version(repository) == 3


def test_the_manifest_is_json_that_people_can_read(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"name": "modèle", "f1": None})
    text = (tmp_path / "model.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"name": "modèle", "f1": None}
    assert "modèle" in text
    assert text.endswith("}\n")
