"""A rollout for a test, with its clock in the test's hand."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from unit.server.versions.rollout_stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
async def serving(stage: Stage) -> Stage:
    """Version 1 serves."""
    await stage.publish_serving("1")
    return stage


@pytest.fixture
def errors(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The log's errors so far."""

    def read() -> list[str]:
        return [record.message for record in caplog.records if record.levelno == logging.ERROR]

    return read
