"""A request that no model can take, among eight that it can."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from spanqa_server.errors import InferenceError
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from spanqa_server.triton.client import VersionInference
from support.qualified import Qualified
from support.triton import triton_at
from support.windows import difference, text_windows

Say = Callable[[str], None]
GOOD, PLACE = 8, 3


def malformed(good: PackedWindows, how: str) -> PackedWindows:
    if how == "sum":
        return PackedWindows(good.input_ids, good.token_type_ids, good.window_lengths[:1])
    return PackedWindows(good.input_ids + (1 << 20), good.token_type_ids, good.window_lengths)


def good_windows(qualified: Qualified) -> list[PackedWindows]:
    return [text_windows(qualified.version, [50 + i, 60], seed=i) for i in range(GOOD)]


@pytest.mark.parametrize("how", ["sum", "vocabulary"])
async def test_it_is_not_sent_and_its_neighbours_are_answered(
    qualified: Qualified, how: str
) -> None:
    good = good_windows(qualified)
    async with triton_at(qualified.address) as triton:
        limits = qualified.version.tensor_limits
        model = VersionInference(triton, qualified.number, limits)
        expected = [await model.infer(one) for one in good]
        work = [*good[:PLACE], malformed(good[0], how), *good[PLACE:]]
        results = await asyncio.gather(*map(model.infer, work), return_exceptions=True)
    refused = results.pop(PLACE)
    assert isinstance(refused, InferenceError)
    assert "not sent" in str(refused)
    answered = [one for one in results if isinstance(one, Logits)]
    assert len(answered) == GOOD
    assert difference(answered, expected) <= qualified.tolerance


@pytest.mark.parametrize("how", ["sum", "vocabulary"])
@pytest.mark.usefixtures("startable")
async def test_past_the_check_triton_survives_it(qualified: Qualified, how: str, say: Say) -> None:
    assert qualified.triton
    good, number = good_windows(qualified), qualified.number
    pid = qualified.triton.pid
    async with triton_at(qualified.address) as triton:
        expected = [await triton.infer(one, number) for one in good]
        # While it computes this, the others come together in its queue.
        blocker = asyncio.create_task(
            triton.infer(text_windows(qualified.version, [384] * 10), number)
        )
        work = [*good[:PLACE], malformed(good[0], how), *good[PLACE:]]
        results = await asyncio.gather(
            *(triton.infer(one, number) for one in work), return_exceptions=True
        )
        refused = results.pop(PLACE)
        failed = [str(one) for one in results if isinstance(one, BaseException)]
        say(f"{how}: sent all the same, it fails ({refused}), and {len(failed)} of {GOOD} others")
        assert isinstance(refused, InferenceError)
        await asyncio.gather(blocker, return_exceptions=True)
        again = [await triton.infer(one, number) for one in good]
    assert difference(again, expected) <= qualified.tolerance
    assert np.isfinite(again[0].starts).all()
    assert qualified.triton.pid == pid
