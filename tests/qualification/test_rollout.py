"""A version is exported, takes over, is withdrawn and restored, while callers never pause."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from support.callers import REQUESTS, Callers
from support.given import Given
from support.production import run_model, running_site
from support.versions import export_other


def signatures(callers: Callers, version: str) -> dict[int, set[tuple[int, str, float]]]:
    found: dict[int, set[tuple[int, str, float]]] = {}
    for call in callers.calls:
        if call.version == version:
            found.setdefault(call.request, set()).add(call.signature)
    return found


async def test_export_withdraw_and_restore_under_load(
    startable: Given, repository: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    export_other(other, 1)  # for its checkpoint: it is exported once more, under load
    export = ("export", "--checkpoint", str(other / "checkpoint"), "--name", "other")
    form = ("--dtype", "float32", "--device", startable.device)
    with running_site(startable, repository, tmp_path) as site:
        pid = site.triton.pid
        async with Callers(site.front.target).running() as callers:
            await callers.answered(100, "1")
            await asyncio.to_thread(run_model, repository, *export, "--version", "2", *form)
            await callers.answered(100, "2")
            await asyncio.to_thread(run_model, repository, "withdraw", "2")
            await callers.answered(100, "1")
            await asyncio.to_thread(run_model, repository, "restore", "2")
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
    first, second = signatures(callers, "1"), signatures(callers, "2")
    assert set(first) == set(second) == set(range(len(REQUESTS)))
    # The tokenizers count differently: tokens of one never met the weights of the other.
    assert not {one[0] for seen in first.values() for one in seen} & {
        one[0] for seen in second.values() for one in seen
    }
    assert all(len(seen) == 1 for seen in second.values())
