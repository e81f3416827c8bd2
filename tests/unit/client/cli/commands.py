"""Running the command ``spanqa`` inside a test."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from spanqa.cli.app import app


def run(*arguments: str, stdin: bytes | None = None, target: str = "") -> Result:
    env = {"SPANQA_TARGET": target} if target else {}
    return CliRunner(env=env).invoke(app, list(arguments), input=stdin)


def fails(result: Result, *parts: str, code: int = 1) -> None:
    """The command failed with one line on standard error that holds these parts."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("spanqa: ")
    for part in parts:
        assert part in lines[0]
