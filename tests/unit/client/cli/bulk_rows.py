"""Questions and answers as rows, for tests of ``spanqa answer``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from spanqa.v1 import question_answering_pb2 as pb
from unit.client.fake_service import FakeService

ROWS: list[dict[str, Any]] = [
    {"id": n, "question": "Who?", "context": f"Ada{n} did."} for n in range(12)
]


def answered(row: dict[str, Any], /, **more: Any) -> dict[str, Any]:
    """The row as it is written."""
    word = row["context"].split()[0]
    return {
        **{key: value for key, value in row.items() if key != "context"},
        **{"answer": word, "start": 0, "end": len(word), "score": 3.0, "probability": 0.5},
        **{"error_code": None, "error": None, **more},
    }


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(service: FakeService) -> list[str]:
    """The contexts that were asked."""
    return [r.context for r in service.requests if isinstance(r, pb.AnswerRequest)]
