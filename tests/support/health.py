"""What the health service of a frontend says, and when."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.processes import SERVING, RunningServer


async def told(server: RunningServer, *, serving: bool, within: float = 60.0) -> None:
    """Wait until it says SERVING, or that it is not."""
    async with asyncio.timeout(within), grpc.aio.insecure_channel(server.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        async for update in stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
            if (update.status == SERVING) == serving:
                return


async def tritons_out(front: RunningServer, count: int) -> None:
    """Wait until the frontend gives calls to all Tritons but so many."""
    out = 'spanqa_tritons{state="out"}'
    await asyncio.to_thread(front.wait_for_metrics, lambda now: now[out] == count, 60.0)
