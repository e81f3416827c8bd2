"""What a process says of versions that fail while it starts, and when it says that one serves."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.versions.monitor import VersionMonitor


def monitor(repository: Path, failure: str = "", ready: bool = False) -> VersionMonitor:
    async def look() -> bool:
        return ready

    rollout: Any = SimpleNamespace(failure=lambda: failure, look=look)
    return VersionMonitor(
        rollout, triton="Triton at 10.0.0.1:8001", repository=repository, startup_timeout=0.01
    )


async def test_a_failure_names_the_way_to_a_version(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as raised:
        await monitor(tmp_path, "no model version in here").look()
    assert str(raised.value) == (
        "no model version in here; make one with: "
        f"spanqa-model export --preset minilm-squad --repository {tmp_path}"
    )
    (tmp_path / "bert_qa" / "1").mkdir(parents=True)
    with pytest.raises(StartupError, match="is broken; export another with: spanqa-model export"):
        await monitor(tmp_path, "model version 1 is broken").look()
    await monitor(tmp_path).look()


async def test_it_reports_each_change_until_it_gives_up_or_is_stopped(tmp_path: Path) -> None:
    reported: list[bool] = []
    stop = asyncio.Event()

    async def report(ready: bool) -> None:
        reported.append(ready)
        if ready:
            asyncio.get_running_loop().call_later(0.05, stop.set)

    with pytest.raises(StartupError, match=r"Triton at 10\.0\.0\.1:8001 does not serve bert_qa"):
        await monitor(tmp_path).run(report, stop)
    assert reported == [False]
    await monitor(tmp_path, ready=True).run(report, stop)
    assert reported == [False, True]
