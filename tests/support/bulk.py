"""`spanqa answer` as a process of its own, watched, and killed when a test wants it."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from support.processes import BIN, RunningServer, clean_environment, poll

CALLS = 'spanqa_calls_total{code="OK",method="Answer"}'


def write_questions(path: Path, count: int) -> Path:
    """So many rows of different lengths, each with an answer of its own."""
    rain = "The rain went on and nobody said a word about the matter. "
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            context = (
                f"{rain * (number % 3)}The number of house {number} is {number * 7}, they say."
            )
            row = {"id": f"r{number}", "question": f"What is house {number}?", "context": context}
            file.write(json.dumps(row) + "\n")
    return path


def command(questions: Path, answers: Path, target: str, *options: str) -> list[str]:
    return [
        *(str(BIN / "spanqa"), "answer", str(questions), "--output", str(answers)),
        *("--target", target, *options),
    ]


@contextlib.contextmanager
def started(*command: str) -> Iterator[psutil.Popen]:
    """The command, running; killed at the end of the block if it has not ended."""
    process = psutil.Popen(command, stderr=subprocess.PIPE, env=clean_environment())
    with process:
        try:
            yield process
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def complete(process: psutil.Popen, within: float = 120.0) -> str:
    """Wait until it has succeeded; returns what it said."""
    _, said = process.communicate(timeout=within)
    text: str = said.decode()
    assert process.returncode == 0, text
    return text


def partial_of(answers: Path) -> Path:
    return answers.with_name(f"{answers.name}.partial")


def wait_for_rows(answers: Path, rows: int, within: float = 120.0) -> None:
    """Wait until so many rows are written."""
    path = partial_of(answers)
    poll(
        lambda: path.exists() and path.read_bytes().count(b"\n") >= rows,
        within,
        f"{rows} rows in {path}",
    )


def answered_calls(server: RunningServer) -> float:
    """How many calls the server has answered."""
    return server.metrics().get(CALLS, 0)
