"""A Triton for tests: Triton's protocol on a real socket, and whatever is wrong with it.

Alone it answers at once, so that its logits show which tokens it was given. In front of a real
Triton it passes calls on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

Behaviour = Callable[[Any, Any], Awaitable[Any]]
# The method of Triton's protocol, and the attribute that does it.
METHODS = {
    "ModelInfer": "infer",
    "ModelReady": "ready",
    "RepositoryIndex": "index",
    "ModelConfig": "config",
}


class Fault(StrEnum):
    """What is wrong with a Triton."""

    NONE = "none"
    REFUSES = "refuses"
    HANGS = "hangs"
    HANGS_AT_INFERENCE = "says ready and hangs"
    SHAPES = "gives garbage shapes"
    NONSENSE = "computes nonsense"


class FakeTriton:
    """A test sets the fault, or replaces what one method does."""

    def __init__(self, server: grpc.aio.Server, address: str) -> None:
        self.fault = Fault.NONE
        self.token = ""
        """What each call must carry, if it is set."""
        self.infer: Behaviour = echo
        self.ready: Behaviour = self._look_up
        self.index: Behaviour = self._list
        self.config: Behaviour = give(service_pb2.ModelConfigResponse())
        self.versions = {"1"}
        self.models: list[tuple[str, str, str, str]] = []
        """Name, version, state and reason of each in the index."""
        self.address = address
        self.requests: list[Any] = []
        self.asked = asyncio.Event()
        self.given_up = asyncio.Event()
        self._server = server

    def pass_on(self, channel: grpc.aio.Channel) -> None:
        """Leave the answers to a real Triton."""
        triton: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self.infer = forward(triton.ModelInfer)
        self.ready = forward(triton.ModelReady)
        self.index = forward(triton.RepositoryIndex)
        self.config = forward(triton.ModelConfig)

    async def stop(self) -> None:
        """Go away, with the calls under way."""
        await self._server.stop(None)

    def inputs(self, at: int = 0) -> dict[str, list[int]]:
        """The tensors of one request."""
        request = self.requests[at]
        return {
            tensor.name: np.frombuffer(raw, dtype=np.int32).tolist()
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }

    async def answer(self, does: str, request: Any, context: Any) -> Any:
        """What the client gets: first the fault counts, then the behaviour."""
        fault, infers = self.fault, does == "infer"
        if self.token and bearer(context) != f"Bearer {self.token}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token of mine")
        if infers:
            self.requests.append(request)
            self.asked.set()
        if fault is Fault.REFUSES:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        hangs = fault is Fault.HANGS or (fault is Fault.HANGS_AT_INFERENCE and infers)
        behaviour: Behaviour = hang if hangs else getattr(self, does)
        try:
            response = await behaviour(request, context)
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        if infers and fault in (Fault.SHAPES, Fault.NONSENSE):
            damage(response, fault)
        return response

    async def _look_up(self, request: Any, context: Any) -> Any:
        ready = request.name == "bert_qa" and request.version in self.versions
        return service_pb2.ModelReadyResponse(ready=ready)

    async def _list(self, request: Any, context: Any) -> Any:
        response = service_pb2.RepositoryIndexResponse()
        for name, version, state, reason in self.models:
            response.models.add(name=name, version=version, state=state, reason=reason)
        return response


def bearer(context: Any) -> str:
    return str(dict(context.invocation_metadata() or ()).get("authorization", ""))


async def echo(request: Any, context: Any) -> Any:
    """Each token's number is its start logit; its end logit is one half less."""
    ids = np.frombuffer(request.raw_input_contents[0], dtype=np.int32).astype(np.float32)
    return reply(start_logits__0=ids, end_logits__1=ids - 0.5)


async def hang(request: Any, context: Any) -> Any:
    await asyncio.get_running_loop().create_future()


def refuse(code: grpc.StatusCode, details: str) -> Behaviour:
    async def abort(request: Any, context: Any) -> Any:
        await context.abort(code, details)

    return abort


def give(response: Any) -> Behaviour:
    async def respond(request: Any, context: Any) -> Any:
        return response

    return respond


def forward(method: Any) -> Behaviour:
    """Do what a method of another Triton does."""

    async def ask(request: Any, context: Any) -> Any:
        try:
            return await method(request, timeout=context.time_remaining())
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details() or "")

    return ask


def reply(**outputs: Any) -> Any:
    """A response with these tensors."""
    response = service_pb2.ModelInferResponse()
    for name, values in outputs.items():
        array = np.asarray(values, dtype=np.float32)
        response.outputs.add(name=name, datatype="FP32", shape=(1, len(array)))
        response.raw_output_contents.append(array.tobytes())
    return response


def damage(response: Any, fault: Fault) -> None:
    """Leave half of the numbers, or put others in their place."""
    for at, raw in enumerate(response.raw_output_contents):
        if fault is Fault.SHAPES:
            response.raw_output_contents[at] = raw[: len(raw) // 8 * 4]
        else:
            numbers = np.frombuffer(raw, dtype=np.float32)
            response.raw_output_contents[at] = (numbers[::-1] + 20).tobytes()


@asynccontextmanager
async def fake_triton(
    host: str = "127.0.0.1", *, behind: str = "", credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[FakeTriton]:
    """One on a port of its own, alone or in front of the Triton at the address `behind`."""
    server = grpc.aio.server()
    place = f"{host}:0"
    port = (
        server.add_secure_port(place, credentials)
        if credentials
        else server.add_insecure_port(place)
    )
    triton = FakeTriton(server, f"{host}:{port}")

    def handler(method: str, does: str) -> grpc.RpcMethodHandler[Any, Any]:
        async def handle(request: Any, context: Any) -> Any:
            return await triton.answer(does, request, context)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=getattr(service_pb2, f"{method}Request").FromString,
            response_serializer=getattr(service_pb2, f"{method}Response").SerializeToString,
        )

    handlers = {method: handler(method, does) for method, does in METHODS.items()}
    service = "inference.GRPCInferenceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    async with AsyncExitStack() as stack:
        if behind:
            triton.pass_on(await stack.enter_async_context(grpc.aio.insecure_channel(behind)))
        await server.start()
        stack.push_async_callback(triton.stop)
        yield triton
