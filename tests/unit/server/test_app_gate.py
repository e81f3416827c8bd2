"""The gate in front of a Triton: what it refuses to start with. It at work: tests/triton."""

from pathlib import Path

import pytest

from spanqa_server.app import keep_gate
from spanqa_server.errors import StartupError
from spanqa_server.triton.repository_view import writable_view
from spanqa_server.triton_settings import GateSettings


@pytest.mark.parametrize("addresses", ["", "a:8001,b:8001"])
async def test_each_triton_has_a_gate_of_its_own(addresses: str) -> None:
    settings = GateSettings.model_validate({"triton": addresses})
    with pytest.raises(StartupError, match="--triton must name one Triton"):
        await keep_gate(settings)


def test_a_view_that_cannot_be_written(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(StartupError, match=r"file: .*: it must be writable"):
        writable_view(taken, tmp_path)


def test_a_view_is_made_and_left_empty(tmp_path: Path) -> None:
    writable_view(tmp_path / "new" / "view", tmp_path)
    assert list((tmp_path / "new" / "view").iterdir()) == []
