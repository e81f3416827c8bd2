"""The command `spanqa-model` as a whole."""

import typer
from typer.testing import CliRunner

import spanqa_model
from spanqa_model.cli.app import app


def test_without_arguments_there_is_help() -> None:
    result = CliRunner().invoke(app, [])
    assert "export" in result.stdout + result.stderr


def test_the_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"spanqa-model {spanqa_model.__version__}\n"


def test_each_option_is_explained_by_sentences() -> None:
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - mypy knows no groups
    assert set(commands) == {"export", "versions", "withdraw", "restore", "finetune"}
    for name, command in commands.items():
        for option in command.params:
            assert (option.help or "").endswith("."), (name, option.name)
