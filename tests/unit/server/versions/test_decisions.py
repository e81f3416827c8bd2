"""Which versions are held: by somebody, for what was measured, for their device."""

import math
from pathlib import Path
from typing import Any

import pytest

from spanqa_model.errors import VersionError
from spanqa_model.repository.decisions import change_notes
from spanqa_model.repository.inventory import held_in
from spanqa_server.versions.decisions import Standing, StandingReader, held_versions
from spanqa_server.versions.host import Machine
from spanqa_server.versions.repository import Figures, find_versions
from unit.server.version_files import MANIFEST, decide, write_version

CPU = Machine("cpu", frozenset({"float32"}))
SHA256 = str(MANIFEST["model_sha256"])


def publish(repository: Path, number: str, **manifest: Any) -> Path:
    """A version that the exporter's side takes for complete, too."""
    directory = write_version(repository, number, **manifest)
    (directory / "model.py").touch()
    return directory


def read(repository: Path) -> list[Standing]:
    return StandingReader(repository).read(find_versions(repository))


def held(repository: Path, machine: Machine | None = None, drop: float = 3.0) -> dict[str, str]:
    found = held_versions(read(repository), drop, machine)
    return {file.number: reason for file, reason in found.items()}


# F1 and decision of versions 1, 2, …; which are held.
CASES: dict[str, tuple[list[tuple[float | None, str | None]], set[str]]] = {
    "the first has nothing to be compared with": ([(5, None)], set()),
    "as much as is allowed": ([(80, None), (77, None)], set()),
    "more": ([(80, None), (76.99, None)], {"2"}),
    "better": ([(5, None), (80, None)], set()),
    "promoted": ([(80, None), (5, "promote")], set()),
    "promoted, and its successor": ([(80, None), (5, "promote"), (4, None)], set()),
    "each is compared with one that may serve": ([(80, None), (70, None), (69, None)], {"2", "3"}),
    "held by somebody": ([(80, None), (90, "hold")], {"2"}),
    "held by somebody, alone": ([(90, "hold")], {"1"}),
    "not measured": ([(80, None), (None, None)], set()),
    "the one before was not measured": ([(80, None), (None, None), (5, None)], set()),
    "nonsense before": ([(math.nan, None), (5, None)], set()),
    "nonsense after": ([(80, None), (-5, None), (180, None)], set()),
    "nonsense between": ([(80, None), (math.nan, None), (5, None)], {"3"}),
    "zero": ([(80, None), (0, None)], {"2"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_rule_is_the_same_for_the_server_and_for_spanqa_model(
    tmp_path: Path, case: str
) -> None:
    versions, expected = CASES[case]
    for number, (f1, decision) in enumerate(versions, start=1):
        publish(tmp_path, str(number), f1=f1)
        if decision:
            decide(tmp_path, str(number), decision=decision)
    reasons = held(tmp_path)
    assert reasons.keys() == expected
    assert {str(number): why for number, why in held_in(tmp_path, 3.0).items()} == reasons


def test_the_reason_names_both_figures(tmp_path: Path) -> None:
    publish(tmp_path, "1", f1=80.86)
    publish(tmp_path, "2", f1=5)
    assert held(tmp_path) == {"2": "F1 5.00, but version 1 has 80.86"}
    assert held(tmp_path, drop=100) == {}


def test_what_spanqa_model_notes_is_read(tmp_path: Path) -> None:
    publish(tmp_path, "1", f1=80.0, exact_match=70.0)
    change_notes(tmp_path, 1, SHA256, exact_match=60.5, f1=75.25)
    change_notes(tmp_path, 1, SHA256, decision="hold")
    [standing] = read(tmp_path)
    assert (standing.decision, standing.figures) == ("hold", Figures(60.5, 75.25))


def test_notes_on_a_version_that_is_gone_do_not_count_for_its_successor(tmp_path: Path) -> None:
    publish(tmp_path, "1")
    decide(tmp_path, "1", decision="hold", f1=1.0, model_sha256="0" * 64)
    [standing] = read(tmp_path)
    assert (standing.decision, standing.figures.f1) == (None, MANIFEST["f1"])
    assert held(tmp_path) == {}
    assert held_in(tmp_path, 3.0) == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"decision": "perhaps"}', "\0"])
def test_a_version_whose_notes_cannot_be_read_is_held(tmp_path: Path, content: str) -> None:
    publish(tmp_path, "1")
    path = decide(tmp_path, "1")
    path.write_text(content)
    reason = f"{path}: is not what spanqa-model writes"
    assert held(tmp_path) == {"1": reason}
    assert held_in(tmp_path, 3.0) == {1: reason}
    change_notes(tmp_path, 1, SHA256, decision="promote")
    assert held(tmp_path) == {}, "a promotion repairs it"


def test_notes_that_are_no_file(tmp_path: Path) -> None:
    publish(tmp_path, "1")
    path = tmp_path / "bert_qa.1.json"
    path.mkdir()
    assert held(tmp_path) == {"1": f"{path}: Is a directory"}
    assert held_in(tmp_path, 3.0) == {1: f"{path}: Is a directory"}
    with pytest.raises(VersionError, match="cannot write"):
        change_notes(tmp_path, 1, SHA256, decision="promote")


@pytest.mark.parametrize("damage", ["model.pt", "tokenizer.json", "model.json"])
def test_a_broken_version_is_neither_held_nor_compared_with(tmp_path: Path, damage: str) -> None:
    (publish(tmp_path, "1", f1=80) / damage).unlink()
    publish(tmp_path, "2", f1=5)
    assert held(tmp_path) == {}
    assert held_in(tmp_path, 3.0) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 100.1])
def test_a_version_with_a_figure_that_is_none_is_not_compared_with(
    tmp_path: Path, value: float
) -> None:
    publish(tmp_path, "1", f1=value, exact_match=value)
    publish(tmp_path, "2", f1=5)
    assert [standing.manifest is None for standing in read(tmp_path)] == [False, True]
    assert held(tmp_path) == {}


@pytest.mark.parametrize(
    ("before", "device", "machine", "expected"),
    [
        ("cpu", "cuda", CPU, {"2": "made for cuda, but Triton computes on cpu"}),
        ("cpu", "cpu", CPU, {}),
        ("cpu", None, CPU, {}),
        ("cpu", "cuda", None, {}),
        ("cuda", "cuda", CPU, {}),
        (None, "cuda", CPU, {"2": "made for cuda, but Triton computes on cpu"}),
    ],
)
def test_a_version_for_another_device_does_not_replace_one_for_this(
    tmp_path: Path,
    before: str | None,
    device: str | None,
    machine: Machine | None,
    expected: dict[str, str],
) -> None:
    publish(tmp_path, "1", device=before)
    publish(tmp_path, "2", device=device)
    assert held(tmp_path, machine) == expected
    decide(tmp_path, "2", decision="promote")
    assert held(tmp_path, machine) == {}
