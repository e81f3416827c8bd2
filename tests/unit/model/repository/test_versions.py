"""Versions never change, and no number is used twice."""

from pathlib import Path

import pytest

from spanqa_model.errors import ExportError
from spanqa_model.repository.versions import MODEL_NAME, next_version
from unit.model.repository.version_files import make, versions_in, withdraw_by_hand


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_an_existing_version_is_refused_and_unchanged(repository: Path) -> None:
    target = make(repository, 3, "first")
    with pytest.raises(ExportError, match="exists and versions never change: choose another"):
        make(repository, 3, "second")
    assert (target / "model.pt").read_text(encoding="utf-8") == "first"
    assert versions_in(repository) == {"3"}


def test_the_number_of_a_withdrawn_version_stays_taken(repository: Path) -> None:
    make(repository, 1)
    make(repository, 2, "first")
    withdrawn = withdraw_by_hand(repository, 2)
    assert next_version(repository) == 3
    with pytest.raises(ExportError, match=r"withdrawn and no .* spanqa-model restore 2$"):
        make(repository, 2, "second")
    assert (withdrawn / "model.pt").read_text(encoding="utf-8") == "first"
    assert versions_in(repository) == {"1"}


def test_numbers_go_up_from_the_newest_version(repository: Path) -> None:
    assert next_version(repository) == 1
    model = repository / MODEL_NAME
    for name in ("2", "10", "configs", "-5", "17.5", ".staging-19"):
        (model / name).mkdir(parents=True)
    (model / "40").write_text("a file", encoding="utf-8")
    assert next_version(repository) == 11
