"""A Triton without a model."""

from collections.abc import AsyncIterator

import pytest

from support.fake_triton import FakeTriton, fake_triton


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with fake_triton() as fake:
        yield fake
