"""Logits from this Triton are those of the embedded one, which runs the same version."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows
from support.given import Given
from support.processes import running_server
from support.qualified import Qualified
from support.triton import address_of, triton_at
from support.windows import difference, mixed_windows, together

# A large model's embedded Triton takes its time, on a CPU.
pytestmark = pytest.mark.timeout(1800)
Say = Callable[[str], None]
REQUESTS, SAME_LOGIT, SAME_BEST = 60, 1e-4, 0.95


@contextmanager
def embedded(repository: Path, directory: Path) -> Iterator[str]:
    """The address of an embedded Triton on a copy: Python leaves bytecode beside `model.py`."""
    copy = directory / "repository"
    shutil.copytree(repository, copy)
    with running_server(copy, directory / "embedded.log") as server:
        yield address_of(server)


def same_best(request: PackedWindows, some: Logits, others: Logits) -> list[bool]:
    """For each window, whether both have their best start and their best end in one place."""
    cuts = np.cumsum(request.window_lengths)[:-1]

    def best(logits: Logits) -> list[tuple[int, int]]:
        parts = zip(np.split(logits.starts, cuts), np.split(logits.ends, cuts), strict=True)
        return [(int(starts.argmax()), int(ends.argmax())) for starts, ends in parts]

    return [a == b for a, b in zip(best(some), best(others), strict=True)]


async def compare(qualified: Qualified, directory: Path, say: Say) -> None:
    version = qualified.version
    requests = mixed_windows(version, REQUESTS, seed=11)
    async with triton_at(qualified.address) as triton:
        here = await together(triton, version.number, requests)
    with embedded(qualified.repository, directory) as address:
        async with triton_at(address) as triton:
            there = await together(triton, version.number, requests)
    by, dtype = difference(here, there), version.manifest.dtype
    windows = [same_best(*three) for three in zip(requests, here, there, strict=True)]
    same = [one for several in windows for one in several]
    say(
        f"{version.manifest.name} in {dtype}, {REQUESTS} requests of {len(same)} windows: largest "
        f"difference {by:.1e}, best start and end alike in {sum(same)}"
    )
    if dtype == "float32":
        assert by <= SAME_LOGIT
    assert sum(same) >= SAME_BEST * len(same)


async def test_the_version_of_the_repository(
    qualified: Qualified, tmp_path: Path, say: Say
) -> None:
    await compare(qualified, tmp_path, say)


async def test_the_default_model_in_float32(
    startable: Given, request: pytest.FixtureRequest, tmp_path: Path, say: Say
) -> None:
    site = request.getfixturevalue("float32_site")
    await compare(Qualified.of(site), tmp_path, say)
