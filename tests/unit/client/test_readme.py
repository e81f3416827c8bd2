"""The examples of the client's README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import spanqa
from unit.client.fake_service import FakeService

README = Path(__file__).parents[3] / "client" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
# What each prints, in their order; the fake's answer is the first word of a text.
PRINTED = {
    "answer": "Ada 0.5",
    "answer with asyncio": "When was it written? Answer(text='Ada'",
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


def test_the_table_names_every_method() -> None:
    public = {name for name in vars(spanqa.Client) if name[0] != "_"} - {"close"}
    table = README.read_text(encoding="utf-8").partition("| method |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == public
