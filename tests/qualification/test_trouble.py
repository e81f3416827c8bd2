"""Triton hangs or is killed: each call ends in time, and it serves again."""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from support.callers import Callers, failed
from support.given import Given
from support.health import told, tritons_out
from support.production import running_site

Say = Callable[[str], None]
# Within which every call ends that meets a Triton which hangs: a contract (architecture.md).
END_SECONDS = 15.0
CALLERS = 8


async def test_one_of_one_hangs(
    startable: Given, repository: Path, tmp_path: Path, say: Say
) -> None:
    with running_site(startable, repository, tmp_path) as site:
        async with Callers(site.front.target, CALLERS).running() as callers:
            await callers.answered(50)
            with site.triton.stopped():
                begin = len(callers.calls)
                await callers.until(lambda: len(callers.calls) >= begin + 5 * CALLERS)
                met = callers.calls[begin:]
            await told(site.front, serving=True)
            await callers.answered(50)
        seconds = [call.seconds for call in met]
        say(
            f"{len(met)} calls with 60 s each ended within {median(seconds):.1f} s (median), "
            f"{max(seconds):.1f} s (most): {dict(failed(met))}"
        )
    assert max(call.seconds for call in callers.calls) <= END_SECONDS


async def test_one_of_two_hangs(
    startable: Given, repository: Path, tmp_path: Path, say: Say
) -> None:
    with running_site(startable, repository, tmp_path, tritons=2) as site:
        async with Callers(site.front.target, CALLERS).running() as callers:
            await callers.answered(50)
            with site.triton.stopped():
                begin = len(callers.calls)
                await tritons_out(site.front, 1)
                await callers.answered(50)
                seconds = [call.seconds for call in callers.calls[begin:]]
            await tritons_out(site.front, 0)
            await callers.answered(50)
    say(f"{len(seconds)} calls meanwhile, the longest took {max(seconds):.1f} s")
    assert not callers.failed()
    assert max(call.seconds for call in callers.calls) <= END_SECONDS


async def test_one_of_one_is_killed(
    startable: Given, repository: Path, tmp_path: Path, say: Say
) -> None:
    with running_site(startable, repository, tmp_path) as site:
        async with Callers(site.front.target, CALLERS).running() as callers:
            await callers.answered(50)
            site.triton.kill()
            await told(site.front, serving=False)
            site.backs[0].restart()
            await told(site.front, serving=True)
            await callers.answered(50)
    say(f"{len(callers.calls)} calls, failed {dict(callers.failed())}")
    assert callers.failed()
    assert {call.code for call in callers.calls} == {"OK", "UNAVAILABLE"}


async def test_one_of_two_is_killed(
    startable: Given, repository: Path, tmp_path: Path, say: Say
) -> None:
    with running_site(startable, repository, tmp_path, tritons=2) as site:
        async with Callers(site.front.target, CALLERS).running() as callers:
            await callers.answered(50)
            site.triton.kill()
            await tritons_out(site.front, 1)
            await callers.answered(50)
            site.backs[0].restart()
            await tritons_out(site.front, 0)
            await callers.answered(50)
    say(f"{len(callers.calls)} calls, failed {dict(callers.failed())}")
    assert not callers.failed()
