"""The command `spanqa-model` as a whole, and the style that it shares with the other two."""

import importlib.metadata
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import spanqa.cli
import spanqa_model
import spanqa_model.cli
import spanqa_server.cli.main
from spanqa_model.cli.app import app
from unit.model.finetune.runs import Shell

PROGRAMS: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "spanqa": (spanqa.cli.main, ("ask", "info", "evaluate")),
    "spanqa-server": (spanqa_server.cli.main.main, ("serve", "gate", "health")),
    "spanqa-model": (
        spanqa_model.cli.main,
        ("export", "versions", "promote", "measured", "withdraw", "restore", "finetune"),
    ),
}
PYTHON_WORDS = r"None|list\[|\b(str|int|float|bool|Path)\b"


@pytest.mark.parametrize(
    ("program", "command"),
    [(program, command) for program, (_, names) in PROGRAMS.items() for command in ("", *names)],
)
def test_the_help_of_all_programs_is_plain_text(
    program: str,
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main, commands = PROGRAMS[program]
    monkeypatch.setattr(sys, "argv", [program, *command.split(), "--help"])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main()
    text = capsys.readouterr().out
    assert text.lower().startswith("usage: ")
    assert re.search(r"^options:$", text, re.MULTILINE | re.IGNORECASE)
    assert not re.search("[\x1b\u2500-\u257f]", text), "colours or boxes"
    assert max(map(len, text.splitlines())) <= 100
    if not command:
        assert all(re.search(rf"^ +{name} +[A-Z].*\.$", text, re.MULTILINE) for name in commands)
    if "Arguments:" not in text:  # Typer adds their types
        assert not re.search(PYTHON_WORDS, text)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_prints_its_version(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "--version"])
    with pytest.raises(SystemExit, match="0"):
        PROGRAMS[program][0]()
    assert capsys.readouterr().out == f"{program} {importlib.metadata.version(program)}\n"


@pytest.mark.parametrize(
    ("program", "begun", "completed"),
    [
        ("spanqa", "spanqa ev", "evaluate"),
        ("spanqa", "spanqa ask --per", "--per-document"),
        ("spanqa-model", "spanqa-model exp", "export"),
    ],
)
def test_a_shell_can_complete_commands_and_options(
    program: str,
    begun: str,
    completed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    variable = f"_{program.upper().replace('-', '_')}_COMPLETE"
    monkeypatch.setenv(variable, "complete_bash")
    monkeypatch.setenv("COMP_WORDS", begun)
    monkeypatch.setenv("COMP_CWORD", str(len(begun.split()) - 1))
    with pytest.raises(SystemExit, match="0"):
        PROGRAMS[program][0]()
    assert capsys.readouterr().out.split() == [completed]


def test_each_option_is_explained_by_sentences() -> None:
    commands = getattr(typer.main.get_command(app), "commands")  # noqa: B009 - mypy knows no groups
    assert set(commands) == set(PROGRAMS["spanqa-model"][1])
    for name, command in commands.items():
        for option in command.params:
            assert option.hidden or (option.help or "").endswith("."), (name, option.name)


def test_without_arguments_there_is_help(shell: Shell) -> None:
    done = shell()
    assert "export" in done.out + done.err


def test_the_version(shell: Shell) -> None:
    assert shell("--version") == (0, f"spanqa-model {spanqa_model.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("export --preset bert-huge", "the presets are minilm-squad, bert-large-cased-squad"),
        ("export --preset minilm-squad --checkpoint x", "not both"),
        ("export --version 0", "--version"),
        ("export --if-missing", "--if-missing needs --version"),
        ("export --dtype int4", "float32"),
        ("export --device tpu", "cuda"),
        ("finetune --output run", "Missing option '--train'"),
        ("finetune --train x --output run --epochs 0", "--epochs"),
        ("finetune --train x --output run --dtype float16", "bfloat16"),
        ("finetune --train x --output run --limit-train 0", "--limit-train"),
        ("withdraw", "Missing argument 'N'"),
        ("withdraw 0", "Invalid value for 'N'"),
        ("restore x", "Invalid value for 'N'"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell(*arguments.split())
    assert done.code == 2
    assert message in done.err
    assert list(tmp_path.iterdir()) == []
