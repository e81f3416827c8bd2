"""A rollout for a test, with its clock in the test's hand."""

from pathlib import Path

import pytest

from spanqa_server import rollout
from unit.server.rollout_stage import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path)
    monkeypatch.setattr(rollout, "now", lambda: made.seconds)
    return made
