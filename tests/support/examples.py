"""The example programs in other languages: what they need, how they are built and run."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.processes import RunningServer

ROOT = Path(__file__).parents[2]
CLIENTS, REPOSITORY = ROOT / "clients", ROOT / "model_repository"
BUILD_SECONDS, RUN_SECONDS = 900, 120


@dataclass(frozen=True)
class Example:
    """A program in `clients/`, which prints JSON lines."""

    language: str
    requires: tuple[str, ...]
    build_commands: tuple[str, ...]
    run_command: str
    built: list[bool] = field(default_factory=list, compare=False)

    @property
    def directory(self) -> Path:
        """Where its sources are."""
        return CLIENTS / self.language

    def missing(self) -> list[str]:
        """Which of the programs that its build takes are not on this machine."""
        return [program for program in self.requires if shutil.which(program) is None]

    def build(self) -> None:
        """Build it once, as its users do."""
        if not self.built:
            for command in self.build_commands:
                made = subprocess.run(
                    shlex.split(command),
                    cwd=self.directory,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=BUILD_SECONDS,
                    check=False,
                )
                assert made.returncode == 0, f"{self.language}: {command}\n{made.stdout[-6000:]}"
            self.built.append(True)

    @contextlib.contextmanager
    def started(self, command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """A process that runs one command; it ends with the block."""
        program, *arguments = shlex.split(self.run_command)
        path = self.directory / program
        process = subprocess.Popen(
            [str(path) if path.exists() else program, *arguments, command],
            cwd=self.directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment(variables),
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                with contextlib.suppress(BrokenPipeError):  # what it had not read
                    pipe.close()  # type: ignore[union-attr]

    def run(
        self, command: str, pairs: Iterable[tuple[str, str]] = (), **variables: str
    ) -> list[dict[str, Any]]:
        """What a command prints."""
        given = "".join(map(pair_line, pairs))
        with self.started(command, **variables) as process:
            printed, told = process.communicate(given, timeout=RUN_SECONDS)
        assert process.returncode == 0, f"{self.language} {command}: {told[-4000:]}"
        return [json.loads(line) for line in printed.splitlines()]


@dataclass(frozen=True)
class Secured:
    """A server with TLS that wants a token, and the authority to trust."""

    server: RunningServer
    authority: Path
    token: str = "a-token-of-the-tests"


def pair_line(pair: tuple[str, str]) -> str:
    """A pair as the examples read it."""
    return json.dumps({"question": pair[0], "context": pair[1]}, ensure_ascii=False) + "\n"


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """With these variables named SPANQA_..., and no other ones of this name."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPANQA_")}
    return kept | {f"SPANQA_{name.upper()}": value for name, value in variables.items()}


def read_examples() -> list[Example]:
    """All of `clients/examples.toml`."""
    listed = tomllib.loads((CLIENTS / "examples.toml").read_text())
    return [
        Example(language, tuple(one["requires"]), tuple(one["build"]), one["run"])
        for language, one in listed.items()
    ]
