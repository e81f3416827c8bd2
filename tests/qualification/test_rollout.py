"""A version is exported, takes over, is withdrawn and restored, while callers never pause."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from support.callers import Callers
from support.given import Given
from support.processes import run_model
from support.production import running_site
from support.versions import export_other


async def test_export_withdraw_and_restore_under_load(
    startable: Given, repository: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    export_other(other, 1)  # for its checkpoint: it is exported once more, under load
    export = ("export", "--checkpoint", str(other / "checkpoint"), "--name", "other")
    there = ("--repository", repository)
    form = ("--dtype", "float32", "--device", startable.device)
    with running_site(startable, repository, tmp_path) as site:
        pid = site.triton.pid
        async with Callers(site.front.target).running() as callers:
            await callers.answered(100, "1")
            await asyncio.to_thread(run_model, *export, "--version", "2", *form, *there)
            await callers.answered(100, "2")
            await asyncio.to_thread(run_model, "withdraw", "2", *there)
            await callers.answered(100, "1")
            await asyncio.to_thread(run_model, "restore", "2", *there)
            await callers.answered(100, "2")
        unloads = [site.triton.unloads("1"), site.triton.unloads("2")]
        same_process = site.triton.pid == pid
    say(
        f"{len(callers.calls)} calls, by version {dict(callers.versions())}, failed "
        f"{dict(callers.failed())}; times that versions 1 and 2 were unloaded: {unloads}"
    )
    assert same_process
    assert not callers.failed()
    assert unloads == [0, 1]
    callers.assert_not_mixed("1", "2", exact=["2"])
