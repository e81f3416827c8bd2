"""Every small script of ``client/examples`` runs as it stands, against a fake server."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from unit.client.fake_service import FakeService

EXAMPLES = Path(__file__).parents[3] / "client" / "examples"
# The first word of a text is the fake's answer.
OUTPUT = {
    "batch": ["0: Marie (0.50)", "1: Ada (0.50)", "2: Marie (0.50)", "3: failed: INVALID_ARGUMENT"],
    "documents": ["0.500  The  (paragraph 11)"],
    "logits": ["decoded here: The  (score 12.00)", "decoded by the server: The"],
    "stream": ["0: The  <- The lighthouse on Fastnet Rock...", "1: Fastnet  <- Fastnet Rock is"],
    "stream_asyncio": ["0: The", "1: The", "2: The"],
}


def test_no_script_is_left_out() -> None:
    # demo.py starts the real server; `make demo` runs it.
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"demo", *OUTPUT}


@pytest.mark.parametrize("name", OUTPUT)
def test_script_runs(
    name: str,
    service: FakeService,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = EXAMPLES / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(script), service.target])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    for part in OUTPUT[name]:
        assert part in printed
