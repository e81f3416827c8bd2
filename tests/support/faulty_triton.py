"""A way to a real Triton that a test can spoil: it refuses, hangs, or damages what it passes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

SERVICE = "inference.GRPCInferenceService"


class Fault(StrEnum):
    """What is wrong with this Triton."""

    NONE = "none"
    REFUSES = "refuses"
    HANGS = "hangs"
    HANGS_AT_INFERENCE = "says ready and hangs"
    SHAPES = "gives garbage shapes"
    NONSENSE = "computes nonsense"


class FaultyTriton:
    """Passes calls on, byte for byte, unless it has a fault."""

    def __init__(self, behind: grpc.aio.Channel) -> None:
        self.fault = Fault.NONE
        self.address = ""
        self._behind = behind

    async def pass_on(self, method: str, raw: bytes, context: Any) -> bytes:
        fault, infers = self.fault, method == "ModelInfer"
        if fault is Fault.REFUSES:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        if fault is Fault.HANGS or (fault is Fault.HANGS_AT_INFERENCE and infers):
            await asyncio.get_running_loop().create_future()
        try:
            call: Any = self._behind.unary_unary(f"/{SERVICE}/{method}")
            answer: bytes = await call(raw, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")
        if infers and fault in (Fault.SHAPES, Fault.NONSENSE):
            return damaged(answer, fault)
        return answer


def damaged(answer: bytes, fault: Fault) -> bytes:
    """With half of the numbers, or with others."""
    response = service_pb2.ModelInferResponse.FromString(answer)
    for at, raw in enumerate(response.raw_output_contents):
        if fault is Fault.SHAPES:
            response.raw_output_contents[at] = raw[: len(raw) // 8 * 4]
        else:
            numbers = np.frombuffer(raw, dtype=np.float32)
            response.raw_output_contents[at] = (numbers[::-1] + 20).tobytes()
    spoilt: bytes = response.SerializeToString()
    return spoilt


@asynccontextmanager
async def faulty_triton(address: str) -> AsyncIterator[FaultyTriton]:
    """In front of the Triton at this address."""
    async with grpc.aio.insecure_channel(address) as behind:
        proxy = FaultyTriton(behind)

        def handler(method: str) -> grpc.RpcMethodHandler[bytes, bytes]:
            async def handle(raw: bytes, context: Any) -> bytes:
                return await proxy.pass_on(method, raw, context)

            return grpc.unary_unary_rpc_method_handler(handle)

        handlers = {name: handler(name) for name in ("ModelInfer", "ModelReady")}
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        proxy.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield proxy
        finally:
            await server.stop(None)
