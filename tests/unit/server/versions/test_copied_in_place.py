"""A version that is copied to its place file by file is tried again once it is whole."""

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.versions import records
from spanqa_server.versions.decisions import StandingReader
from spanqa_server.versions.repository import ModelVersion, find_versions, load_version
from unit.server.version_files import WEIGHTS, decide, write_version
from unit.server.versions.rollout_stage import Stage

Errors = Callable[[], list[str]]
NAMES = ("model.json", "model.pt", "tokenizer.json")


def take_away(directory: Path, *names: str) -> dict[str, bytes]:
    contents = {name: (directory / name).read_bytes() for name in names}
    for name in names:
        (directory / name).unlink()
    return contents


@pytest.mark.parametrize("last", ["model.pt", "tokenizer.json", "model.json"])
async def test_a_file_that_comes_later(serving: Stage, errors: Errors, last: str) -> None:
    serving.publish("2")
    contents = take_away(serving.directory("2"), last)
    assert await serving.look(3)
    assert serving.states()["2"] == "unreadable"
    (serving.directory("2") / last).write_bytes(contents[last])
    assert await serving.look(2)
    assert (serving.serving, len(errors())) == ("2", 1)


async def test_a_file_that_grows_is_told_of_once_and_read_when_it_rests(
    serving: Stage, errors: Errors, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def load(directory: Path) -> ModelVersion:
        read.append(directory)
        return load_version(directory)

    monkeypatch.setattr(records, "load_version", load)
    serving.publish("2")
    file = serving.directory("2") / "model.pt"
    for length in range(len(WEIGHTS)):
        file.write_bytes(WEIGHTS[:length])
        assert await serving.look()
        assert serving.serving == "1"
    assert read == [serving.directory("2")], "not again and again while it is written"
    file.write_bytes(WEIGHTS)
    assert await serving.look(2)
    assert (serving.serving, len(errors()), len(read)) == ("2", 1, 2)


async def test_a_version_that_triton_could_not_load_before_its_program_came(
    serving: Stage,
) -> None:
    serving.publish("2", ready=False)
    serving.host.failures["2"] = "no model.py"
    assert await serving.look(2)
    assert serving.states()["2"] == "not_loaded"
    (serving.directory("2") / "model.py").touch()
    serving.host.failures.clear()
    serving.host.holds.add("2")
    assert await serving.look(3)
    assert serving.serving == "2"


def fifo(file: Path) -> None:
    os.mkfifo(file)


def listening(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        there = Path.cwd()
        os.chdir(file.parent)  # the path of a socket must be short
        one.bind(file.name)
        os.chdir(there)


def device(file: Path) -> None:
    file.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", [*NAMES, "model.py"])
@pytest.mark.parametrize("kind", [fifo, listening, device])
def test_what_is_no_file_is_said_and_not_waited_for(
    tmp_path: Path, name: str, kind: Callable[[Path], None]
) -> None:
    directory = write_version(tmp_path, "1")
    (directory / name).unlink(missing_ok=True)
    kind(directory / name)
    with pytest.raises(StartupError, match=rf"^{name}: (is not a regular file|No such device)"):
        load_version(directory)
    StandingReader(tmp_path).read(find_versions(tmp_path))


async def test_notes_that_are_no_file_hold_the_version(serving: Stage) -> None:
    notes = decide(serving.repository, "1")
    notes.unlink()
    os.mkfifo(notes)
    async with asyncio.timeout(10):
        await serving.look()
    assert serving.states() == {"1": "held"}
