"""What a process says of versions that fail while it starts."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.versions.monitor import VersionMonitor


def monitor(tmp_path: Path, failure: str, ready: bool = False) -> VersionMonitor:
    async def look() -> bool:
        return ready

    rollout: Any = SimpleNamespace(failure=lambda: failure, look=look)
    return VersionMonitor(
        rollout, triton="Triton at 10.0.0.1:8001", repository=tmp_path, startup_timeout=0.01
    )


async def test_while_starting_a_failure_names_the_way_to_a_version(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as raised:
        await monitor(tmp_path, "no model version in here").look()
    assert str(raised.value) == (
        "no model version in here; make one with: "
        f"spanqa-model export --preset minilm-squad --repository {tmp_path}"
    )
    (tmp_path / "bert_qa" / "1").mkdir(parents=True)
    with pytest.raises(StartupError, match="is broken; export another with: spanqa-model export"):
        await monitor(tmp_path, "model version 1 is broken").look()
    await monitor(tmp_path, "").look()


async def test_a_triton_that_never_serves_is_named(tmp_path: Path) -> None:
    told: list[bool] = []

    async def tell(ready: bool) -> None:
        told.append(ready)

    with pytest.raises(StartupError, match=r"Triton at 10\.0\.0\.1:8001 does not serve bert_qa"):
        await monitor(tmp_path, "").run(tell, asyncio.Event())
    assert told == [False]


async def test_it_tells_once_that_a_version_serves(tmp_path: Path) -> None:
    told: list[bool] = []
    stop = asyncio.Event()

    async def tell(ready: bool) -> None:
        told.append(ready)
        asyncio.get_running_loop().call_later(0.05, stop.set)

    await monitor(tmp_path, "", ready=True).run(tell, stop)
    assert told == [True]
