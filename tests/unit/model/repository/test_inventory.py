"""What is said of the versions of a repository."""

import shutil
from pathlib import Path

import pytest

from spanqa_model.repository.inventory import VERSION_FILES, complete_versions, list_versions
from spanqa_model.repository.versions import MODEL_NAME
from spanqa_model.repository.withdrawal import withdraw
from unit.model.repository.version_files import make


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_newest_first_and_each_in_its_state(repository: Path) -> None:
    for number in (1, 2, 9, 10, 11):
        make(repository, number)
    withdraw(repository, 10)
    (repository / MODEL_NAME / "11" / "model.pt").unlink()
    expected = {11: "broken", 10: "withdrawn", 9: "candidate", 2: "available", 1: "available"}
    found = [(facts.version, facts.state) for facts in list_versions(repository)]
    assert found == [*expected.items()]
    assert complete_versions(repository) == {1, 2, 9}


@pytest.mark.parametrize("name", VERSION_FILES)
def test_a_missing_file_is_named(repository: Path, name: str) -> None:
    (make(repository, 1) / name).unlink()
    [facts] = list_versions(repository)
    assert (facts.state, facts.reason) == ("broken", f"no {name}")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_manifest_that_cannot_be_read(repository: Path, content: bytes) -> None:
    (make(repository, 1) / "model.json").write_bytes(content)
    [facts] = list_versions(repository)
    assert (facts.state, facts.reason) == ("broken", "model.json is not readable as JSON")
    assert (facts.name, facts.size_bytes > 0) == (None, True)


def test_a_number_that_is_there_twice_is_listed_twice(repository: Path) -> None:
    make(repository, 1)
    make(repository, 2)
    copy = withdraw(repository, 2)
    shutil.copytree(copy, repository / MODEL_NAME / "2")
    found = [(facts.version, facts.state) for facts in list_versions(repository)]
    assert sorted(found) == [(1, "available"), (2, "candidate"), (2, "withdrawn")]
