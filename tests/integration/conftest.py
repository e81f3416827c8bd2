"""A server with a tiny model, for the slow tests of many thousands of calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import RunningServer, running_server
from support.tiny import export_tiny


@pytest.fixture(scope="session")
def tiny_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_server(
    tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Random weights that know "no answer"; its answers mean nothing."""
    log = tmp_path_factory.mktemp("tiny-server") / "server.log"
    with running_server(tiny_repository, log) as running:
        yield running
