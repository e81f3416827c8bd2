"""The Python of both READMEs and the scripts of ``client/examples`` run as they stand."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import spanqa
from unit.client.fake_service import FakeService

ROOT = Path(__file__).parents[3]
README = ROOT / "client" / "README.md"
SCRIPTS = ROOT / "client" / "examples"
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
EXAMPLES = PYTHON.findall(README.read_text(encoding="utf-8"))
QUICK_START = PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8"))
# What each prints, in their order; the fake's answer is the first word of a text.
PRINTED = {
    "answer": "Ada 0.5",
    "answer with asyncio": "When was it written? Answer(text='Ada'",
    "sentence": "She: She was born in London.",
    "batch": "failed: INVALID_ARGUMENT: context: is empty",
    "stream": "900 Answer(text='Ada'",
    "stream with asyncio": "9 AnswerResult(answers=(Answer(text='Ada'",
    "documents": "history.txt Ada 0.5",
    "logits": "Ada            5.500",
    "model": "fake version 1, licence unknown",
}


def test_every_example_has_its_output_here() -> None:
    assert len(EXAMPLES) == len(PRINTED)


@pytest.mark.parametrize(
    ("example", "printed"), list(zip(EXAMPLES, PRINTED.values(), strict=False)), ids=PRINTED
)
def test_examples_run(
    example: str, printed: str, service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(example.replace("localhost:50051", service.target), {"__name__": "__main__"})
    assert printed in capsys.readouterr().out


def test_the_quick_start_runs(
    service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    [example] = QUICK_START
    exec(example.replace("localhost:50051", service.target), {"__name__": "__main__"})
    text = (SCRIPTS / "lighthouse.txt").read_text(encoding="utf-8")
    assert capsys.readouterr().out.startswith(text.split()[0])


def test_every_example_passes_mypy_strict(tmp_path: Path) -> None:
    for number, example in enumerate([*QUICK_START, *EXAMPLES]):
        (tmp_path / f"example_{number}.py").write_text(example, encoding="utf-8")
    # The repository's own settings: strict, without google.rpc, which has no types.
    command = (sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"))
    checked = subprocess.run(
        [*command, *map(str, sorted(tmp_path.glob("*.py")))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_table_names_every_method() -> None:
    public = {name for name in vars(spanqa.Client) if name[0] != "_"} - {"close"}
    table = README.read_text(encoding="utf-8").partition("| method |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == public


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
    assert {path.stem for path in SCRIPTS.glob("*.py")} == {"demo", *OUTPUT}


@pytest.mark.parametrize("name", OUTPUT)
def test_script_runs(
    name: str,
    service: FakeService,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = SCRIPTS / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(script), service.target])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    for part in OUTPUT[name]:
        assert part in printed
