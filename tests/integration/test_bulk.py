"""`spanqa answer` against a real server: killed, resumed, and beside an overload."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import psutil
import pytest

from support.bulk import (
    answered_calls,
    command,
    complete,
    partial_of,
    started,
    wait_for_rows,
    write_questions,
)
from support.callers import Callers
from support.processes import RunningServer, running_server

ROWS, BREAK, CONCURRENCY = 300, 120, 16
MANY, OVERLOADED, GROWN_BOUND = 20_000, 100, 24 << 20
# Room for some 18 calls: callers who never pause are an overload on a machine of any speed.
LITTLE_ROOM = ("--max-admitted-bytes", str(1 << 20))


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    return write_questions(tmp_path / "questions.jsonl", ROWS)


def test_a_killed_run_goes_on(server: RunningServer, questions: Path, tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed.csv", tmp_path / "killed.csv"
    with started(*command(questions, undisturbed, server.target)) as process:
        complete(process)
    options = ("--concurrency", str(CONCURRENCY))
    before = answered_calls(server)
    with started(*command(questions, killed, server.target, *options)) as process:
        wait_for_rows(killed, BREAK)
        process.kill()
        process.wait()
    assert not killed.exists()
    # As if it had been killed while it wrote.
    partial = partial_of(killed)
    partial.write_bytes(partial.read_bytes()[:-7])
    with started(*command(questions, killed, server.target, *options)) as process:
        assert f"{ROWS} rows answered" in complete(process)
    assert killed.read_bytes() == undisturbed.read_bytes()
    # Those that were under way or waited for a row before them, and the one that was cut.
    assert answered_calls(server) - before <= ROWS + 9 * CONCURRENCY + 1
    assert sorted(path.stem for path in tmp_path.iterdir()) == [
        "killed",
        "questions",
        "undisturbed",
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_twenty_thousand_rows_killed_beside_an_overload(
    tiny_repository: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    with running_server(tiny_repository, tmp_path / "server.log", *LITTLE_ROOM) as server:
        await kill_beside_an_overload(server, tmp_path, say)


async def kill_beside_an_overload(
    server: RunningServer, tmp_path: Path, say: Callable[[str], None]
) -> None:
    questions = write_questions(tmp_path / "questions.jsonl", MANY)
    undisturbed, killed = tmp_path / "undisturbed.jsonl", tmp_path / "killed.jsonl"
    begin = monotonic()
    few = ("--concurrency", "8")
    with started(*command(questions, undisturbed, server.target, *few)) as process:
        sizes = await watched(process)
    said = [f"undisturbed: {monotonic() - begin:.0f} s, MB of the command: {megabytes(sizes)}"]

    disturbed = command(questions, killed, server.target, *few)
    with started(*disturbed) as process:
        await written(killed, MANY // 2 - OVERLOADED)
        async with Callers(server.target, count=400, timeout=1.0).running() as callers:
            await written(killed, MANY // 2)
            process.kill()
            process.wait()
            kept = partial_of(killed).read_bytes().count(b"\n")
            begin = monotonic()
            with started(*disturbed) as process:
                watching = asyncio.create_task(watched(process))
                await written(killed, kept + OVERLOADED)
                callers.stop()
                sizes = await watching
    seconds = monotonic() - begin
    codes = {
        code: sum(call.code == code for call in callers.calls)
        for code in ("OK", "RESOURCE_EXHAUSTED")
    }
    metrics = server.metrics()
    refused = sum(n for name, n in metrics.items() if name.startswith("spanqa_refusals_total"))
    repeated = metrics["spanqa_repeated_calls_total"]
    said.append(f"killed at {kept:,} rows; the rest {seconds:.0f} s, MB: {megabytes(sizes)}")
    said.append(
        f"the others' calls: {codes}; refusals in all {refused:.0f}, repeated {repeated:.0f}"
    )
    say("\n    ".join(said))
    assert killed.read_bytes() == undisturbed.read_bytes()
    rows = [json.loads(line) for line in killed.read_bytes().splitlines()]
    assert [row["id"] for row in rows] == [f"r{number}" for number in range(MANY)]
    assert not [row for row in rows if row["error_code"]]
    assert refused > 0, "nothing was refused: this was no overload"
    assert repeated > 0, "the command itself was never refused"
    assert max(sizes) - sizes[len(sizes) // 5] <= GROWN_BOUND


async def written(answers: Path, rows: int) -> None:
    await asyncio.to_thread(wait_for_rows, answers, rows, 600)


async def watched(process: psutil.Popen) -> list[int]:
    """The memory of a run that must succeed, twice a second."""
    sizes = []
    while process.poll() is None:
        sizes.append(process.memory_info().rss)
        await asyncio.sleep(0.5)
    complete(process)
    return sizes


def megabytes(sizes: list[int]) -> list[int]:
    return [round(size / 2**20) for size in sizes[:: max(1, len(sizes) // 12)]]
