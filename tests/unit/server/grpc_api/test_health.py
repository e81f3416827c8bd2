"""The health service, over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from spanqa_server.grpc_api.health import NOT_SERVING, SERVING, Health, add_health

Stub = Any


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Health, Stub]]:
    health = Health(("", "a"))
    server = grpc.aio.server()
    add_health(server, health)
    port = server.add_insecure_port("localhost:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"localhost:{port}") as channel:
            yield health, health_pb2_grpc.HealthStub(channel)
    finally:
        await server.stop(None)


async def next_status(watch: Any) -> int:
    async with asyncio.timeout(10):
        response = await watch.read()
    return int(response.status)


async def test_a_watcher_who_leaves_does_not_silence_the_others() -> None:
    async with served() as (health, stub):
        watches = [stub.Watch(health_pb2.HealthCheckRequest(service="a")) for _ in range(3)]
        for watch in watches:
            assert await next_status(watch) == NOT_SERVING
        watches[0].cancel()
        await watches[0].code()
        for serving, status in ((True, SERVING), (False, NOT_SERVING), (True, SERVING)):
            await health.report(serving=serving)
            for watch in watches[1:]:
                assert await next_status(watch) == status


async def test_the_end_is_for_good() -> None:
    async with served() as (health, stub):
        await health.report(serving=True)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert await next_status(watch) == SERVING
        await health.end()
        assert await next_status(watch) == NOT_SERVING
        await health.report(serving=True)
        checked = await stub.Check(health_pb2.HealthCheckRequest())
        assert checked.status == NOT_SERVING
