"""The embedded Triton's process, with a script in the place of the tritonserver program."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from spanqa_server.processes import supervised
from spanqa_server.triton.embedded import process as embedded
from spanqa_server.triton.embedded.process import EmbeddedTriton
from spanqa_server.triton.embedded.wheel import link_backend

BROKEN = "E1122 16:00:00.1 77 model_lifecycle.cc:642] failed to load 'bert_qa' version 2: no zip"
# Says what it sees, then what `words` has; waits for a child of its own where there is `child`,
# and ends at once where there is `end`.
SCRIPT = """#!/bin/sh
here=$(dirname "$0")
for option; do case $option in --model-repository=*) view=${option#*=}/bert_qa;; esac; done
echo "$view" >> "$here/views"
cat "$here/words" 2>/dev/null
test -e "$here/child" && { sleep 600 & echo $! > "$here/child"; wait; }
test -e "$here/end" && rm "$here/end" && exit 3
exec sleep 600
"""


class Program:
    """The script, what it left, and the repository that it is started on."""

    def __init__(self, package: Path, repository: Path) -> None:
        self.directory = package / "bin"
        self.model = repository / "bert_qa"
        for number in ("1", "2", "3"):
            (self.model / number).mkdir(parents=True)
        script = self.directory / "tritonserver"
        script.write_text(SCRIPT)
        script.chmod(0o755)

    def says(self, *lines: str, ends: bool = False) -> None:
        (self.directory / "words").write_text("".join(f"{line}\n" for line in lines))
        if ends:
            (self.directory / "end").touch()

    def versions(self, *numbers: str) -> dict[str, Path]:
        return {number: self.model / number for number in numbers}

    @property
    def views(self) -> list[Path]:
        """The repository of each start so far."""
        file = self.directory / "views"
        return [Path(line) for line in file.read_text().split()] if file.exists() else []


@pytest.fixture
def program(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setattr(embedded, "pytriton_package", lambda: package)
    monkeypatch.setattr(supervised, "FIRST_BACKOFF", 0.0)
    return Program(package, tmp_path / "models")


@pytest.fixture
async def triton(program: Program) -> AsyncIterator[EmbeddedTriton]:
    made = EmbeddedTriton(program.model.parent, threads=0)
    made.offer(program.versions("1", "2"))
    try:
        yield made
    finally:
        await made.stop()


async def until(condition: Callable[[], object]) -> None:
    """Wait for another process."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def seen(view: Path) -> set[str]:
    return {entry.name for entry in view.iterdir() if entry.name.isdecimal()}


async def test_it_sees_what_was_offered_before_and_after_its_start_and_stop_ends_it(
    triton: EmbeddedTriton, program: Program
) -> None:
    await triton.start()
    await until(lambda: program.views)
    pid, [view] = triton.pid, program.views
    assert pid
    assert seen(view) == {"1", "2"}
    triton.offer(program.versions("2", "3"))
    assert seen(view) == {"2", "3"}
    assert (view / "3").resolve() == (program.model / "3").resolve()
    await triton.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not view.exists()
    assert (program.model / "2").is_dir(), "links are not followed"


async def test_versions_that_it_could_not_load_are_told_until_they_are_withdrawn(
    triton: EmbeddedTriton, program: Program
) -> None:
    # A line may be no text.
    (program.directory / "words").write_bytes(b"\xff\xfe\n" + BROKEN.encode() + b"\nerror: all\n")
    await triton.start()
    await until(triton.load_failures)
    assert triton.load_failures() == {"2": "no zip"}
    assert triton.failure() == "no zip"
    triton.offer(program.versions("2", "1"))
    assert triton.load_failures() == {"2": "no zip"}, "nothing else was offered"
    triton.offer(program.versions("1"))
    assert triton.load_failures() == {}
    triton.offer(program.versions("1", "2"))
    assert triton.load_failures() == {}, "it may try again"


async def test_it_is_started_again_with_what_is_offered_then(
    triton: EmbeddedTriton, program: Program, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    program.says(BROKEN, ends=True)
    await triton.start()
    await until(lambda: len(program.views) == 2)
    assert "embedded Triton ended (exit code 3). no zip" in caplog.messages
    await until(lambda: BROKEN in triton.last_lines)
    triton.offer(program.versions("1"))
    program.says("all is well")
    first = triton.pid
    assert first
    os.killpg(first, signal.SIGKILL)
    await until(lambda: len(program.views) == 3 and triton.pid != first)
    assert "embedded Triton ended (signal 9). no zip" in caplog.messages
    assert seen(program.views[-1]) == {"1"}
    assert len(set(program.views)) == 3, "its directory is made anew each time"
    assert [view.exists() for view in program.views] == [False, False, True]
    await until(lambda: "all is well" in triton.last_lines)
    assert triton.failure() == "", "the failure of an earlier start explains nothing now"


async def test_it_is_started_again_though_a_child_of_it_lives_and_could_still_speak(
    triton: EmbeddedTriton, program: Program
) -> None:
    child = program.directory / "child"
    child.touch()
    await triton.start()
    await until(lambda: child.read_text().endswith("\n"))
    orphan, first = psutil.Process(int(child.read_text())), triton.pid
    assert first
    os.kill(first, signal.SIGKILL)
    await until(lambda: len(program.views) == 2 and triton.pid != first)
    await until(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)


async def test_a_start_that_fails_is_tried_again(
    triton: EmbeddedTriton,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = [OSError("no space left"), OSError("no space left")]

    def link(package: Path, directory: Path) -> None:
        if program.views and full:
            raise full.pop()
        link_backend(package, directory)

    monkeypatch.setattr(embedded, "link_backend", link)
    monkeypatch.setattr(supervised, "LAST_BACKOFF", 0.0)
    program.says(ends=True)
    await triton.start()
    await until(lambda: len(program.views) == 2)
    assert caplog.messages.count("cannot start embedded Triton") == 2
    ends = [message for message in caplog.messages if message.startswith("embedded Triton ended")]
    assert ends == ["embedded Triton ended (exit code 3)"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], ""),
        (["I0101 all is well"], ""),
        (
            [
                "E1122 16:00:00.000001 77 model_lifecycle.cc:642] failed to load 'bert_qa' "
                "version 1: Internal: RuntimeError: model.pt is no zip archive",
                "error: creating server: Internal - failed to load all models",
            ],
            "Internal: RuntimeError: model.pt is no zip archive",
        ),
        (
            ["starting", "error: creating server: Internal - failed to load all models"],
            "creating server: Internal - failed to load all models",
        ),
        (
            ["E1122 16:00:00.000001 77 main.cc:340] Failed to start: address in use"],
            "Failed to start: address in use",
        ),
    ],
)
def test_the_most_telling_line(lines: list[str], told: str) -> None:
    triton = EmbeddedTriton(Path("repository"), threads=0)
    triton.last_lines.extend(lines)
    assert triton.failure() == told
