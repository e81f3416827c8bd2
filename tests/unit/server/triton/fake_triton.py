"""A gRPC server that speaks Triton's protocol and does what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from spanqa_server.qa.windows import PackedWindows, TensorLimits, pack_windows, plan_windows
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.triton.client import Triton, VersionInference

LIMITS = TensorLimits(vocabulary=1 << 20, positions=512)
Behaviour = Callable[[Any, Any], Awaitable[Any]]


class FakeTriton:
    """By default it gives each token its number as start logit, and less one half as end."""

    def __init__(self) -> None:
        self.behave: Behaviour = echo
        self.ready = {"3"}
        self.ready_error: grpc.StatusCode | None = None
        self.index: list[tuple[str, str, str, str]] | None = []
        self.before_ready: Callable[[], Awaitable[object]] | None = None
        self.requests: list[Any] = []
        self.asked = asyncio.Event()
        self.given_up = asyncio.Event()
        self.address = ""
        self.server: grpc.aio.Server | None = None

    async def infer(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self.asked.set()
        try:
            return await self.behave(request, context)
        except asyncio.CancelledError:
            self.given_up.set()
            raise

    async def model_ready(self, request: Any, context: Any) -> Any:
        if self.before_ready:
            await self.before_ready()
        if self.ready_error:
            await context.abort(self.ready_error, "not now")
        ready = request.name == "bert_qa" and request.version in self.ready
        return service_pb2.ModelReadyResponse(ready=ready)

    async def repository_index(self, request: Any, context: Any) -> Any:
        if self.index is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted")
        response = service_pb2.RepositoryIndexResponse()
        for name, version, state, reason in self.index or []:
            response.models.add(name=name, version=version, state=state, reason=reason)
        return response

    async def stop(self) -> None:
        """Go away, with the calls under way."""
        assert self.server
        await self.server.stop(None)

    def inputs(self, at: int = 0) -> dict[str, list[int]]:
        """The tensors of one request."""
        request = self.requests[at]
        return {
            tensor.name: np.frombuffer(raw, dtype=np.int32).tolist()
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }


def pack(context_tokens: int = 4) -> PackedWindows:
    """Windows of 9 tokens, 4 of them of the context and 1 of these shared."""
    context = np.arange(100, 100 + context_tokens, dtype=np.int32)
    question = np.array([7, 8], dtype=np.int32)
    return pack_windows(question, context, plan_windows(context_tokens, 4, 1), cls_id=1, sep_id=2)


async def echo(request: Any, context: Any) -> Any:
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


def reply(**outputs: Any) -> Any:
    """A response with these tensors."""
    response = service_pb2.ModelInferResponse()
    for name, values in outputs.items():
        array = np.asarray(values, dtype=np.float32)
        response.outputs.add(name=name, datatype="FP32", shape=(1, len(array)))
        response.raw_output_contents.append(array.tobytes())
    return response


@asynccontextmanager
async def running_triton(host: str = "127.0.0.1") -> AsyncIterator[FakeTriton]:
    fake = FakeTriton()
    server = fake.server = grpc.aio.server()
    handlers = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(
            fake.infer,
            request_deserializer=service_pb2.ModelInferRequest.FromString,
            response_serializer=service_pb2.ModelInferResponse.SerializeToString,
        ),
        "ModelReady": grpc.unary_unary_rpc_method_handler(
            fake.model_ready,
            request_deserializer=service_pb2.ModelReadyRequest.FromString,
            response_serializer=service_pb2.ModelReadyResponse.SerializeToString,
        ),
        "RepositoryIndex": grpc.unary_unary_rpc_method_handler(
            fake.repository_index,
            request_deserializer=service_pb2.RepositoryIndexRequest.FromString,
            response_serializer=service_pb2.RepositoryIndexResponse.SerializeToString,
        ),
    }
    service = "inference.GRPCInferenceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    fake.address = f"{host}:{server.add_insecure_port(f'{host}:0')}"
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(None)


@asynccontextmanager
async def reaching(
    *addresses: str, budget: TokenBudget | None = None, max_chunk_tokens: int = 4096
) -> AsyncIterator[Triton]:
    triton = Triton(
        list(addresses),
        "bert_qa",
        budget=budget or TokenBudget(10_000),
        max_chunk_tokens=max_chunk_tokens,
    )
    try:
        yield triton
    finally:
        await triton.close()


@asynccontextmanager
async def connected(
    *addresses: str, budget: TokenBudget | None = None, max_chunk_tokens: int = 4096
) -> AsyncIterator[VersionInference]:
    """Inference with version 3."""
    async with reaching(*addresses, budget=budget, max_chunk_tokens=max_chunk_tokens) as triton:
        yield VersionInference(triton, "3", LIMITS)
