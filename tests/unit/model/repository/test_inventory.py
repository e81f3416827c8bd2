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


def test_held_versions_and_their_figures(repository: Path) -> None:
    make(repository, 1, "good", f1=80.0, exact_match=70.0)
    make(repository, 2, "bad", f1=5.0)
    make(repository, 3, "on trial", hold=True)
    found = {facts.version: facts for facts in list_versions(repository)}
    assert {number: facts.state for number, facts in found.items()} == {
        3: "held",
        2: "held",
        1: "candidate",
    }
    assert found[3].reason == "by export --hold"
    assert found[2].reason == "F1 5.00, but version 1 has 80.00"
    assert (found[1].exact_match, found[1].f1, found[1].reason) == (70.0, 80.0, None)
    assert [facts.state for facts in list_versions(repository, 75.0)][1:] == [
        "candidate",
        "available",
    ]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "100.5", "true", '"88"', "[]"])
def test_what_is_no_percentage_is_no_figure(repository: Path, value: str) -> None:
    manifest = make(repository, 1) / "model.json"
    manifest.write_text(f'{{"name": "tiny", "f1": {value}, "exact_match": {value}}}')
    [facts] = list_versions(repository)
    assert (facts.exact_match, facts.f1, facts.state) == (None, None, "broken")
    assert facts.reason == "exact_match and f1 of model.json is no number from 0 to 100"
