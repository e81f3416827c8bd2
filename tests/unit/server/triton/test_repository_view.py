"""What the embedded Triton sees: its backend, its configuration, and the versions offered."""

import shutil
import sys
from pathlib import Path

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.triton.repository_view import (
    RepositoryView,
    link_backend,
    link_configurations,
    link_versions,
    view_of,
    writable_view,
)

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model's directory in the real repository."""
    model = tmp_path / "repository" / "bert_qa"
    for number in ("1", "2", "3", "10"):
        (model / number).mkdir(parents=True)
        (model / number / "model.pt").write_text(f"model {number}")
    (model / "configs").mkdir()
    (model / "configs" / "embedded.pbtxt").write_text("embedded")
    (model / "config.pbtxt").write_text("libtorch")
    return model


@pytest.fixture
def view(tmp_path: Path, model: Path) -> Path:
    view = view_of(tmp_path / "own")
    link_configurations(view, model)
    return view


def offer(view: Path, model: Path, *numbers: str) -> dict[str, str]:
    """Offer versions; what Triton then finds under names that could be versions."""
    link_versions(view, {number: model / number for number in numbers})
    return seen(view)


def seen(view: Path) -> dict[str, str]:
    numbers = [entry.name for entry in view.iterdir() if entry.name.isdecimal()]
    return {number: (view / number / "model.pt").read_text() for number in numbers}


def test_the_backend_gets_the_stub_of_this_python(package: Path, tmp_path: Path) -> None:
    link_backend(package, tmp_path)
    files = (tmp_path / "backends" / "python").iterdir()
    assert {file.name: file.read_text() for file in files} == {
        "libtriton_python.so": "backends/python/libtriton_python.so",
        "triton_python_backend_utils.py": "backends/python/triton_python_backend_utils.py",
        "triton_python_backend_stub": f"python_backend_stubs/{PYTHON}/triton_python_backend_stub",
    }


def test_no_stub_for_this_python(package: Path, tmp_path: Path) -> None:
    (package / "python_backend_stubs" / PYTHON / "triton_python_backend_stub").unlink()
    with pytest.raises(StartupError, match=rf"no Triton stub for Python {PYTHON}: use Python 3"):
        link_backend(package, tmp_path)


def test_the_configuration_is_the_repositorys_own(view: Path, model: Path) -> None:
    assert view.parts[-2:] == ("repository", "bert_qa")
    assert (view / "config.pbtxt").read_text() == "libtorch"
    assert (view / "configs" / "embedded.pbtxt").read_text() == "embedded"
    (model / "configs" / "embedded.pbtxt").write_text("changed")
    assert (view / "configs" / "embedded.pbtxt").read_text() == "changed"
    assert seen(view) == {}, "no version before one is offered"


def test_exactly_what_is_offered_is_seen(view: Path, model: Path) -> None:
    others = {entry.name for entry in view.iterdir()}
    assert offer(view, model, "1", "2") == {"1": "model 1", "2": "model 2"}
    assert offer(view, model, "2", "10") == {"2": "model 2", "10": "model 10"}
    assert offer(view, model) == {}
    assert offer(view, model, "3") == {"3": "model 3"}
    assert {entry.name for entry in view.iterdir()} == others | {"3"}
    assert sorted(entry.name for entry in model.iterdir() if entry.is_dir()) == [
        *("1", "10", "2", "3", "configs")
    ]


def test_a_version_that_stays_is_left_alone(view: Path, model: Path) -> None:
    # Triton would load a version anew whose link was made anew.
    offer(view, model, "1", "2")
    before = (view / "1").lstat()
    offer(view, model, "1", "3")
    after = (view / "1").lstat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_version_that_is_gone_from_the_repository_is_taken_away(view: Path, model: Path) -> None:
    offer(view, model, "1", "2")
    (model / "2" / "model.pt").unlink()
    (model / "2").rmdir()
    assert offer(view, model, "1") == {"1": "model 1"}
    assert not (view / "2").is_symlink()


def test_a_relative_repository(
    view: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    link_versions(view, {"1": Path("bert_qa") / "1"})
    monkeypatch.chdir(tmp_path)
    assert seen(view) == {"1": "model 1"}


def test_what_a_cleaner_took_away_comes_back(package: Path, model: Path, tmp_path: Path) -> None:
    directory = tmp_path / "own"
    for _ in range(2):
        link_backend(package, directory)
        link_configurations(view_of(directory), model)
        offer(view_of(directory), model, "1")
        links = [file for file in directory.rglob("*") if file.is_symlink()]
        assert len(links) == 6
        shutil.rmtree(directory)
    assert (model / "1").is_dir(), "links went, not what they name"


def test_a_view_for_a_triton_of_somebody_else(model: Path, tmp_path: Path) -> None:
    view = RepositoryView(tmp_path / "view", model.parent)
    view.offer({"2": model / "2", "10": model / "10"})
    assert seen(tmp_path / "view" / "bert_qa") == {"2": "model 2", "10": "model 10"}
    assert (tmp_path / "view" / "bert_qa" / "config.pbtxt").read_text() == "libtorch"
    view.offer({"2": model / "2"})
    assert seen(tmp_path / "view" / "bert_qa") == {"2": "model 2"}
    assert view.load_failures() == {}


def test_a_view_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"file: .*: it must be writable"):
        writable_view(tmp_path / "file", tmp_path)
    writable_view(tmp_path / "new" / "view", tmp_path)
    assert list((tmp_path / "new" / "view").iterdir()) == []
