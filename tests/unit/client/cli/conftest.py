"""Files of ``spanqa answer``."""

from __future__ import annotations

from pathlib import Path

import pytest

from unit.client.cli.bulk_rows import ROWS, write


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write(tmp_path / "questions.jsonl", ROWS)


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"
