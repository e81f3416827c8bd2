"""How many connections the limit of open files allows."""

import logging

import pytest

from spanqa_server.processes.descriptors import connections_within


@pytest.mark.parametrize(
    ("wanted", "descriptors", "taken"),
    [(1000, 1200, 1000), (1000, 1024, 824), (1000, 256, 64), (10, 64, 10)],
)
def test_connections_leave_descriptors_for_the_rest(
    wanted: int, descriptors: int, taken: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert connections_within(wanted, descriptors) == taken
    assert ("ulimit -n" in caplog.text) == (taken < wanted)
