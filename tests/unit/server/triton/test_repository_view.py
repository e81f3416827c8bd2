"""What Triton sees: its configuration, and the versions that were offered."""

import shutil
from pathlib import Path

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.triton.repository_view import RepositoryView, writable_view


class View:
    """A view of a repository with some versions, and what Triton finds in it."""

    def __init__(self, repository: Path, directory: Path) -> None:
        self.model = repository / "bert_qa"
        for number in ("1", "2", "3", "10"):
            (self.model / number).mkdir(parents=True)
            (self.model / number / "model.pt").write_text(f"model {number}")
        (self.model / "configs").mkdir()
        (self.model / "configs" / "embedded.pbtxt").write_text("embedded")
        (self.model / "config.pbtxt").write_text("libtorch")
        self.directory = directory / "bert_qa"
        self.view = RepositoryView(directory, repository)

    def offer(self, *numbers: str) -> dict[str, str]:
        self.view.offer({number: self.model / number for number in numbers})
        return self.seen()

    def seen(self) -> dict[str, str]:
        """The models by their versions."""
        numbers = [entry.name for entry in self.directory.iterdir() if entry.name.isdecimal()]
        return {number: (self.directory / number / "model.pt").read_text() for number in numbers}


@pytest.fixture
def view(tmp_path: Path) -> View:
    return View(tmp_path / "repository", tmp_path / "view")


def test_the_configuration_is_the_repositorys_own(view: View) -> None:
    assert view.offer() == {}
    assert {entry.name for entry in view.directory.iterdir()} == {"config.pbtxt", "configs"}
    assert (view.directory / "config.pbtxt").read_text() == "libtorch"
    assert (view.directory / "configs" / "embedded.pbtxt").read_text() == "embedded"
    (view.model / "configs" / "embedded.pbtxt").write_text("changed")
    assert (view.directory / "configs" / "embedded.pbtxt").read_text() == "changed"


def test_exactly_what_is_offered_is_seen(view: View) -> None:
    assert view.offer("1", "2") == {"1": "model 1", "2": "model 2"}
    assert view.offer("2", "10") == {"2": "model 2", "10": "model 10"}
    assert view.offer() == {}
    assert view.offer("3") == {"3": "model 3"}
    names = sorted(entry.name for entry in view.model.iterdir() if entry.is_dir())
    assert names == ["1", "10", "2", "3", "configs"], "links went, not what they name"
    view.offer("1", "2")
    shutil.rmtree(view.model / "2")
    assert view.offer("1") == {"1": "model 1"}
    assert not (view.directory / "2").is_symlink(), "it names nothing any more"
    assert view.view.load_failures() == {}


def test_a_version_that_stays_is_left_alone(view: View) -> None:
    # Triton would load a version anew whose link was made anew.
    view.offer("1", "2")
    before = (view.directory / "1").lstat()
    view.offer("1", "3")
    after = (view.directory / "1").lstat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_relative_repository(view: View, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    RepositoryView(view.directory.parent, Path("repository")).offer(
        {"1": Path("repository") / "bert_qa" / "1"}
    )
    monkeypatch.chdir("/")
    assert view.seen() == {"1": "model 1"}
    assert (view.directory / "config.pbtxt").read_text() == "libtorch"


def test_what_a_cleaner_took_away_comes_back(view: View) -> None:
    view.offer("1")
    shutil.rmtree(view.directory)
    assert view.offer("1") == {"1": "model 1"}
    assert (view.directory / "config.pbtxt").read_text() == "libtorch"


def test_a_view_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"file: .*: it must be writable"):
        writable_view(tmp_path / "file", tmp_path)
    writable_view(tmp_path / "new" / "view", tmp_path)
    assert list((tmp_path / "new" / "view").iterdir()) == []
