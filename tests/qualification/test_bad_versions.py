"""Versions that do not work never take calls, and never keep Triton from starting."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.bad_versions import BAD, Bad, place
from support.callers import Callers
from support.given import Given
from support.health import told
from support.processes import poll, running_server
from support.production import Site, metrics_of, running_site

Say = Callable[[str], None]
# Triton may take its time to load what it cannot use.
STATE_SECONDS = 60.0
START_SECONDS = 40.0
SOME = [bad for bad in BAD if re.search("one output|raises|no TorchScript", bad.told)][::-1]


async def settle(site: Site, bad: Bad, number: int) -> str:
    """Place it, wait for what gate and frontend make of it, and return the reason in the log."""
    await asyncio.to_thread(place, site.repository / "bert_qa" / "1", bad, number)
    await broken(site, bad, number)
    lines = site.front.log.read_text().splitlines()
    [line] = [line for line in lines if "ERROR" in line and f"bert_qa/{number} is broken" in line]
    return line.partition("is broken: ")[2]


async def broken(site: Site, bad: Bad, number: int) -> None:
    """Wait until both say that it is in this state."""
    state = f'spanqa_version_state{{state="{bad.state}",version="{number}"}}'
    for port in (site.front.metrics_port, site.backs[0].gate.metrics_port):

        def so(port: int = port) -> bool:
            return metrics_of(port).get(state) == 1

        await asyncio.to_thread(poll, so, STATE_SECONDS, state)


@pytest.mark.timeout(900)
async def test_bad_versions_one_after_another(
    startable: Given, repository: Path, tmp_path: Path, say: Say
) -> None:
    with running_site(startable, repository, tmp_path) as site:
        pid, rows = site.triton.pid, []
        async with Callers(site.front.target, 8).running() as callers:
            await callers.answered(50)
            for number, bad in enumerate(BAD, start=2):
                reason = await settle(site, bad, number)
                rows.append(f"{bad.told:<32} {bad.state:<11} {reason[:150]}")
                await callers.answered(20, "1")
            assert site.triton.pid == pid
        say("\n    ".join([f"{len(callers.calls)} calls, failed {callers.failed()}", *rows]))
        assert not callers.failed()
        assert set(callers.versions()) == {"1"}
        assert site.triton.unloads("1") == 0
        for with_gate in (False, True):
            await serves_again(site, with_gate=with_gate)


async def serves_again(site: Site, *, with_gate: bool) -> None:
    """Triton is killed with all of them in place, and starts with version 1."""
    site.triton.kill()
    await told(site.front, serving=False)
    site.backs[0].restart(with_gate=with_gate)
    await told(site.front, serving=True, within=120)
    async with Callers(site.front.target, 4).running() as callers:
        await callers.answered(20, "1")
    assert not callers.failed()


async def test_two_at_once_do_not_drop_the_version_that_serves(
    startable: Given, repository: Path, tmp_path: Path, say: Say
) -> None:
    with running_site(startable, repository, tmp_path) as site:
        async with Callers(site.front.target, 8).running() as callers:
            await callers.answered(50)
            for number, bad in enumerate(SOME[:2], start=2):
                await asyncio.to_thread(place, repository / "bert_qa" / "1", bad, number)
            for number, bad in enumerate(SOME[:2], start=2):
                await broken(site, bad, number)
            await callers.answered(50)
        unloads = site.triton.unloads("1")
    say(
        f"{len(callers.calls)} calls, failed {callers.failed()}; "
        f"version 1 was unloaded {unloads} times"
    )
    assert not callers.failed()
    assert unloads == 0


async def test_a_frontend_that_starts_among_bad_versions(
    startable: Given, repository: Path, tmp_path: Path, say: Say
) -> None:
    with running_site(startable, repository, tmp_path) as site:
        for number, bad in enumerate(SOME, start=2):
            await settle(site, bad, number)
        flags = ("--triton", site.triton.address)
        with running_server(repository, tmp_path / "second.log", *flags, wait=False) as second:
            await told(second, serving=True, within=START_SECONDS)
            async with Callers(second.target, 4).running() as callers:
                await callers.answered(20, "1")
    say(f"beside {len(SOME)} bad versions: {dict(callers.versions())}")
    assert not callers.failed()
