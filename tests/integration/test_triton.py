"""Triton itself: ragged batches form, and they change nothing."""

import asyncio
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.scheduling.token_budget import TokenBudget
from support.processes import BIN, RunningServer
from support.squad import CITIES, write_squad
from support.triton import (
    address_of,
    batch_statistics,
    executed_requests,
    make_windows,
    triton_at,
)
from support.windows import difference, together


async def test_a_window_alone_and_in_a_batch_of_32(server: RunningServer) -> None:
    address = address_of(server)
    lengths = np.random.default_rng(7).integers(16, 385, 32).tolist()
    windows = [make_windows(i, [length]) for i, length in enumerate(lengths)]
    async with triton_at(address) as triton:
        alone = [await triton.infer(window, "1") for window in windows]
        before = batch_statistics(address)
        blocker = asyncio.create_task(triton.infer(make_windows(99, [384] * 10), "1"))
        batched = await together(triton, "1", windows)
        after = batch_statistics(address)
        await blocker
    assert after[1] - before[1] <= 8  # the blocker's batch, and few for the other 32
    assert difference(alone, batched) <= 1e-4
    print(f"largest difference alone / in a batch: {difference(alone, batched):.2e}")


async def test_chunks_of_a_long_text_are_put_together_in_order(server: RunningServer) -> None:
    packed = make_windows(3, [384, 17, 300, 384, 5, 384, 200])
    results = []
    for chunk in (100_000, 700):
        budget = TokenBudget(1000)
        async with triton_at(address_of(server), budget=budget, chunk=chunk) as triton:
            results.append(await triton.infer(packed, "1"))
    assert difference(results[:1], results[1:]) <= 1e-4


@pytest.mark.parametrize("bad", ["sum", "types", "empty", "vocabulary"])
async def test_a_bad_tensor_harms_nobody_else_in_the_batch(server: RunningServer, bad: str) -> None:
    good = make_windows(1, [50, 60])
    wrong = {
        "sum": PackedWindows(good.input_ids, good.token_type_ids, good.window_lengths[:1]),
        "types": PackedWindows(good.input_ids, good.token_type_ids[:9], good.window_lengths),
        "empty": PackedWindows(
            good.input_ids, good.token_type_ids, np.array([50, 60, 0], dtype=np.int32)
        ),
        "vocabulary": PackedWindows(
            good.input_ids * 1000, good.token_type_ids, good.window_lengths
        ),
    }[bad]
    async with triton_at(address_of(server)) as triton:
        expected = await triton.infer(good, "1")
        # Past the frontend's own check, which would not send it.
        work = [triton.infer(wrong if i == 5 else good, "1") for i in range(12)]
        results = await asyncio.gather(*work, return_exceptions=True)
    assert [i for i, result in enumerate(results) if isinstance(result, Exception)] == [5]
    right = [result for result in results if isinstance(result, Logits)]
    assert difference(right, [expected] * 11) <= 1e-4


def test_a_version_stays_as_it_was_exported(server: RunningServer, model_repository: Path) -> None:
    """Triton would load again what changes, bytecode included."""
    version = model_repository / "bert_qa" / "1"
    # psutil counts from the second in which the machine started, cut off.
    began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    process = psutil.Process(server.process.pid)
    started = process.create_time() - psutil.boot_time() + began
    assert max(path.stat().st_mtime for path in (version, *version.rglob("*"))) < started


def test_batches_form_at_concurrency_32(server: RunningServer, tmp_path: Path) -> None:
    """At concurrency 32 with mixed lengths, Triton's own statistics: mean batch ≥ 6."""
    rain = "The rain fell all day. Nobody spoke. "
    contexts = (f"{rain * (number % 12)}Curie." for number in range(320 - len(CITIES)))
    data = write_squad(tmp_path / "data.json", *(("Where was she born?", one) for one in contexts))
    before = executed_requests(server), *batch_statistics(address_of(server)), calls(server)
    finished = subprocess.run(
        [
            *(str(BIN / "spanqa"), "evaluate", str(data), "--target", server.target),
            *("--concurrency", "32", "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    after = executed_requests(server), *batch_statistics(address_of(server)), calls(server)
    asked, requests, batches, attempts = (
        now - then for now, then in zip(after, before, strict=True)
    )
    report = json.loads(finished.stdout)
    # On a busy machine an attempt may run out of time, and is repeated.
    assert report["answered"] == 320 <= asked <= attempts
    print(f"mean batch size {requests / batches:.1f}")
    assert requests / batches >= 6


def calls(server: RunningServer) -> int:
    """Calls that have ended, however."""
    metrics = server.metrics().items()
    return int(sum(count for name, count in metrics if name.startswith("spanqa_calls_total")))
