"""Small files of questions, written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spanqa.squad import Question, read_questions, read_training_questions

both_readers = pytest.mark.parametrize("read", [read_questions, read_training_questions])
Reader = Callable[[Path], list[Question]]
QUESTION = "data[0].paragraphs[0].qas[0]."


def squad(context: object = "Did Ada?", **changes: object) -> dict[str, Any]:
    """A file with one question, without the fields that change to ``...``."""
    answers = [{"text": "Ada", "answer_start": 4}]
    entry = {"id": "1", "question": "Qué?", "answers": answers, **changes}
    entry = {key: value for key, value in entry.items() if value is not ...}
    return {"data": [{"paragraphs": [{"context": context, "qas": [entry]}]}]}


def written(path: Path, document: object) -> Path:
    """Writes JSON, or text or bytes as they are."""
    if isinstance(document, bytes):
        path.write_bytes(document)
    elif isinstance(document, str):
        path.write_text(document, encoding="utf-8", newline="")
    else:
        path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path
