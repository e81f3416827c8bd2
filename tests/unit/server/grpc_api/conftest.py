"""The service for a test, with roomy limits."""

from collections.abc import AsyncIterator

import pytest_asyncio

from unit.server.grpc_api.stage import Service, serving


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as running:
        yield running
