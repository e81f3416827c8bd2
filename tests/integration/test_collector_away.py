"""A collector that is away, or hangs: callers and the end of the server do not notice."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import spanqa
from support.processes import absent, running_server, silent


@pytest.mark.parametrize("away", [silent, absent])
def test_a_collector_that_is_away_changes_nothing(
    tiny_repository: Path,
    tmp_path: Path,
    away: Callable[[], contextlib.AbstractContextManager[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with (
        away() as address,
        running_server(
            tiny_repository, tmp_path / "log", "--otlp-endpoint", f"http://{address}"
        ) as server,
        spanqa.Client(server.target) as client,
    ):
        log = server.log
        server.wait_for_metrics(lambda _: bool(client.answer("Who?", "Ada.")) and told(log) > 0)
        for _ in range(300):
            client.answer("Who?", "It was Ada.", timeout=5)
        children = server.children()
        assert server.stop(within=10) == 0
        assert psutil.wait_procs(children, timeout=5)[1] == []
    assert "Traceback" not in log.read_text()
    assert " ERROR " not in log.read_text()
    assert told(log) <= 2, "one a minute"


def told(log: Path) -> int:
    return log.read_text().count(" WARNING opentelemetry.")
