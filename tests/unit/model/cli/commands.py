"""Run `spanqa-model` as from a shell."""

import sys
from pathlib import Path

import pytest

from spanqa_model.cli import main


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> object:
    """Returns what the process would exit with."""
    monkeypatch.setattr(sys, "argv", ["spanqa-model", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code
