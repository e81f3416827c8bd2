"""The examples of the client's README run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

Service = Any  # conftest.FakeService, which pytest's importlib mode keeps from being imported
README = Path(__file__).parents[3] / "client" / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["sync", "asyncio"])
def test_examples_run(example: str, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    exec(example.replace("localhost:50051", service.target), {"__name__": "__main__"})
    assert "Ada" in capsys.readouterr().out
