"""The output directory: whose it is, what counts in it, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from spanqa_model.checkpoints.training_figures import METRICS
from spanqa_model.errors import FinetuneError
from spanqa_model.finetune.rundir import (
    MARKER,
    STATE,
    RunDirectory,
    complete_checkpoint,
)

SETTINGS = {"--train": "ab12", "--seed": 0, "--epochs": 2.2, "--dropout": None}


def begun(path: Path, **changes: Any) -> RunDirectory:
    run = RunDirectory(path)
    with run.locked():
        run.begin(SETTINGS | changes, restart=False)
    return run


def checkpoint(run: RunDirectory, step: int, *, complete: bool = True) -> Path:
    directory = run.path / f"checkpoint-{step}"
    directory.mkdir()
    if complete:
        complete_checkpoint(directory)
    return directory


def names(run: RunDirectory) -> set[str]:
    return {entry.name for entry in run.path.iterdir()}


@pytest.mark.parametrize("there", [False, True])
def test_a_run_begins_in_a_new_or_an_empty_directory_and_goes_on_there(
    tmp_path: Path, there: bool
) -> None:
    path = tmp_path / "a" / "run"
    if there:
        path.mkdir(parents=True)
    run = begun(path)
    assert json.loads((path / STATE).read_bytes()) == {"settings": SETTINGS}
    assert run.last_checkpoint() is None
    run.update(saved=True)
    assert begun(path).state == {"settings": SETTINGS, "saved": True}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--seed": 1}, "was started with --seed 0, not 1; "),
        ({"--epochs": 3.0}, "was started with --epochs 2.2, not 3.0; "),
        ({"--dropout": 0.0}, "was started with --dropout None, not 0.0; "),
        ({"--train": "cd34"}, "was started with --train other data; "),
        ({"--new": 1}, "was started with --new None, not 1; "),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, changes: Any, message: str) -> None:
    begun(tmp_path)
    with pytest.raises(FinetuneError) as caught:
        begun(tmp_path, **changes)
    assert str(caught.value).startswith(f"--output {tmp_path}: {message}")
    assert str(caught.value).endswith("or start again with --restart")


def test_a_directory_with_other_files_is_refused_and_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    run = RunDirectory(tmp_path)
    for restart in (False, True):
        with pytest.raises(FinetuneError, match="holds unrelated files"):
            run.begin(SETTINGS, restart=restart)
    assert names(run) == {"thesis.txt"}


def test_a_restart_empties_the_directory(tmp_path: Path) -> None:
    run = begun(tmp_path)
    checkpoint(run, 5)
    run.write(METRICS, {})
    run.begin(SETTINGS | {"--seed": 1}, restart=True)
    assert names(run) == {STATE}
    assert run.state == {"settings": SETTINGS | {"--seed": 1}}


def test_a_checkpoint_counts_when_it_is_complete(tmp_path: Path) -> None:
    run = begun(tmp_path)
    old, new = checkpoint(run, 9), checkpoint(run, 10)
    checkpoint(run, 11, complete=False)
    assert run.last_checkpoint() == new
    begun(tmp_path)
    assert names(run) == {STATE, new.name}
    assert not old.exists()


def test_what_is_left_of_a_removed_checkpoint_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(tmp_path)
    directory = checkpoint(run, 5)
    monkeypatch.setattr("shutil.rmtree", lambda _: None)  # as if killed there
    run.remove_checkpoints()
    assert directory.exists()
    assert not (directory / MARKER).exists()
    assert run.last_checkpoint() is None


def test_a_kill_before_the_first_state_is_written_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / f".{STATE}.new").write_text("{", encoding="utf-8")
    assert begun(tmp_path).state == {"settings": SETTINGS}


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / STATE).write_text("{", encoding="utf-8")
    with pytest.raises(FinetuneError, match=r"finetune.json: not readable .*--restart"):
        begun(tmp_path)


def test_two_runs_do_not_share_a_directory(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path).locked(),
        pytest.raises(FinetuneError, match="another run is using it"),
        RunDirectory(tmp_path).locked(),
    ):
        pytest.fail("locked twice")
    with RunDirectory(tmp_path).locked():
        pass


def test_an_output_that_cannot_be_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = RunDirectory(tmp_path / "file" / "run")
    with pytest.raises(FinetuneError, match=r"--output .*run: Not a directory"), run.locked():
        pytest.fail("locked")
