"""The shipped configuration on this Triton: both outputs, each request's own, right answers."""

import runpy
from collections.abc import Callable

import numpy as np

import spanqa
from support.qualified import Qualified
from support.triton import triton_at
from support.windows import TEXT, difference, text_windows, together

Say = Callable[[str], None]
DEMO = TEXT.with_name("demo.py")


async def test_both_outputs_come_back_each_with_its_own_values(qualified: Qualified) -> None:
    windows = text_windows(qualified.version, [40, 8, 384])
    async with triton_at(qualified.address) as triton:
        logits = await triton.infer(windows, qualified.number)
    assert len(logits.starts) == len(logits.ends) == 432
    assert np.isfinite([logits.starts, logits.ends]).all()
    assert abs(logits.starts - logits.ends).max() > 0.1
    assert len(np.unique(logits.starts)) > 100


async def test_requests_of_a_batch_get_their_own_logits(qualified: Qualified, say: Say) -> None:
    version = qualified.version
    requests = [text_windows(version, [8 + 12 * i, 60], seed=i) for i in range(24)]
    async with triton_at(qualified.address) as triton:
        alone = [await triton.infer(request, qualified.number) for request in requests]
        before = qualified.triton.batches() if qualified.triton else None
        batched = await together(triton, qualified.number, requests)
    by = difference(alone, batched)
    told = "Triton's own count of batches is not read"
    if qualified.triton and before:
        counted, batches = qualified.triton.batches_since(before, len(requests))
        told = f"{counted:.0f} requests in {batches:.0f} batches"
        assert batches < counted
    say(f"alone and in a batch: logits differ by {by:.1e} at most ({told})")
    assert by <= qualified.tolerance
    assert all(abs(one.starts - one.ends).max() > 0.1 for one in batched)


async def test_the_six_questions_of_the_demo(qualified: Qualified, say: Say) -> None:
    demo = runpy.run_path(str(DEMO))
    context = TEXT.read_text(encoding="utf-8")
    right = 0
    async with spanqa.AsyncClient(qualified.front.target) as client:
        for example in demo["EXAMPLES"]:
            result = await client.answer(example.question, context)
            right += demo["show"](example, result, context)
    say(f"{right} of {len(demo['EXAMPLES'])}")
    assert right == len(demo["EXAMPLES"]) == 6
