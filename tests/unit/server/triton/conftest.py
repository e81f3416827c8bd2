"""A Triton that is played, for a test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from unit.server.triton.fake_triton import FakeTriton, running_triton


@pytest_asyncio.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with running_triton() as fake:
        yield fake
