"""Versions are made beside the repository, where Triton does not look, and appear complete."""

import errno
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spanqa_model.errors import ExportError
from spanqa_model.repository.decisions import notes_file
from spanqa_model.repository.inventory import held_in
from spanqa_model.repository.staging import BACKEND, STALE_SECONDS, staged_version
from spanqa_model.repository.versions import MODEL_NAME, next_version, withdrawn_versions
from unit.model.repository.version_files import (
    make,
    other_filesystem,
    snapshot,
    versions_in,
    withdraw_by_hand,
)

LEVEL_UP = "mount the volume one level up"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def staging_place(tmp_path: Path) -> Path:
    return tmp_path / "repository.staging"


def test_a_version_appears_at_the_end_and_nothing_else_that_triton_polls_changes(
    repository: Path, staging_place: Path
) -> None:
    make(repository, 1)
    before = snapshot(repository)
    with staged_version(repository, 2) as staging:
        (staging / "model.pt").write_text("weights", encoding="utf-8")
        assert snapshot(repository) == before
        assert staging_place in staging.parents
    after = snapshot(repository)
    new = {name for name in after if name.startswith(f"{MODEL_NAME}/2")}
    assert {name for name in after if after[name] != before.get(name)} == {MODEL_NAME, *new}
    version = repository / MODEL_NAME / "2"
    assert (version / "model.pt").read_text(encoding="utf-8") == "weights"
    assert (version / "model.py").read_bytes() == BACKEND.read_bytes()
    assert version.stat().st_mode & 0o777 == 0o755, "Triton may run as another user"


def fail_with(error: BaseException, repository: Path, version: int = 2) -> None:
    with staged_version(repository, version) as staging:
        (staging / "model.pt").write_text("half", encoding="utf-8")
        raise error


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_when_the_block_raises(
    repository: Path, staging_place: Path, failure: type[BaseException]
) -> None:
    make(repository, 1)
    before = snapshot(repository)
    with pytest.raises(failure):
        fail_with(failure(), repository)
    assert snapshot(repository) == before
    assert not staging_place.exists()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "cannot write .*2: No space left on device$"),
        # As with two subPath mounts of a volume: only the rename itself tells.
        (errno.EXDEV, f"{os.strerror(errno.EXDEV)}; .*{LEVEL_UP}"),
    ],
)
def test_an_error_of_the_disk_is_explained(repository: Path, number: int, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        fail_with(OSError(number, os.strerror(number)), repository)
    assert versions_in(repository) == set()


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
    assert versions_in(repository) == (set() if withdrawn else {"1"})


def test_a_repository_that_is_a_link_is_staged_beside_the_directory(tmp_path: Path) -> None:
    (tmp_path / "volume" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to("volume/real")
    with staged_version(tmp_path / "link", 1) as staging:
        assert tmp_path / "volume" / "real.staging" in staging.parents
    assert (tmp_path / "volume" / "real" / MODEL_NAME / "1" / "model.py").is_file()


def leave_behind(place: Path, name: str, *, age: float, file_age: float | None = None) -> Path:
    """What an export that was killed leaves."""
    file = place / name / "version" / "model.pt"
    file.parent.mkdir(parents=True)
    file.write_text("half", encoding="utf-8")
    now = place.stat().st_mtime
    os.utime(file, (now, now - (age if file_age is None else file_age)))
    for directory in (file.parent, file.parents[1]):
        os.utime(directory, (now, now - age))
    return place / name


def test_only_what_dead_exports_left_is_removed(repository: Path, staging_place: Path) -> None:
    old, young = STALE_SECONDS + 60, STALE_SECONDS - 60
    dead = leave_behind(staging_place, "1-ab12cd34", age=old)
    kept = {
        leave_behind(staging_place, "2-ab12cd34", age=young),
        leave_behind(staging_place, "3-ab12cd34", age=old, file_age=young),
        leave_behind(staging_place, "notes", age=old),
    }
    make(repository, 4)
    assert not dead.exists()
    assert {*staging_place.iterdir()} == kept


def test_another_export_removes_the_staging_place_at_the_worst_moment(
    repository: Path, staging_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkdtemp, removals = tempfile.mkdtemp, iter((True, True))

    def late(prefix: str, dir: Path) -> str:
        if next(removals, False):
            staging_place.rmdir()
        return mkdtemp(prefix=prefix, dir=dir)

    monkeypatch.setattr(tempfile, "mkdtemp", late)
    assert (make(repository, 1) / "model.pt").is_file()
    assert next(removals, None) is None


def test_many_exports_at_once(repository: Path, staging_place: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = [*threads.map(lambda number: make(repository, number), range(1, 41))]
    assert all((directory / "model.pt").is_file() for directory in made)
    assert next_version(repository) == 41
    assert not staging_place.exists()


@pytest.mark.parametrize(
    ("in_the_way", "message"),
    [("repository", "/bert_qa: Not a directory"), ("repository.staging", f": .*{LEVEL_UP}")],
)
def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, in_the_way: str, message: str
) -> None:
    (tmp_path / in_the_way).write_text("not a directory", encoding="utf-8")
    with pytest.raises(ExportError, match=rf"cannot write to .*/{in_the_way}{message}"):
        make(tmp_path / "repository", 1)


def test_a_model_directory_that_is_read_only_is_noticed_before_the_work(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != repository / MODEL_NAME)
    with pytest.raises(ExportError, match="read-only"), staged_version(repository, 1):
        pytest.fail("the block was entered")


def test_another_filesystem_is_noticed_before_the_work(
    repository: Path, staging_place: Path, tmp_path: Path
) -> None:
    repository.mkdir()
    with other_filesystem(tmp_path) as mounted:
        (repository / MODEL_NAME).symlink_to(mounted)
        with (
            pytest.raises(ExportError, match=f"different filesystems; .*{LEVEL_UP}"),
            staged_version(repository, 1),
        ):
            pytest.fail("the block was entered")
    assert not staging_place.exists()


def test_a_held_version_is_held_from_its_first_moment(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, seen = Path.rename, []

    def observed(path: Path, target: Path) -> Path:
        if target.name == "1":
            seen.append(notes_file(repository, 1).exists())
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", observed)
    make(repository, 1, hold=True)
    assert seen == [True]
    assert held_in(repository, 3.0) == {1: "by export --hold"}


def test_notes_on_a_deleted_version_are_gone_with_its_successor(repository: Path) -> None:
    shutil.rmtree(make(repository, 1, hold=True))
    make(repository, 1)
    assert held_in(repository, 3.0) == {}
    assert [path.name for path in repository.iterdir()] == [MODEL_NAME]


def test_a_version_that_cannot_be_held_is_not_made(repository: Path) -> None:
    make(repository, 1)
    (repository / ".bert_qa.2.json.new").mkdir()
    with pytest.raises(ExportError, match=r"cannot write .*bert_qa\.2\.json: Is a directory"):
        make(repository, 2, hold=True)
    assert versions_in(repository) == {"1"}
