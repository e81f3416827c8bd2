"""Inference on Triton over one channel, straight on its protocol (KServe v2)."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

import grpc
import numpy as np
from opentelemetry.trace import Span, SpanKind
from tritonclient.grpc import service_pb2

from spanqa_server.errors import InferenceError
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows, TensorLimits, split_windows
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.telemetry import tracing
from spanqa_server.triton.fleet import Fleet
from spanqa_server.triton.protocol import (
    FloatArray,
    build_request,
    gist,
    map_error,
    read_logits,
)
from spanqa_server.versions.repository import Readiness

# What Triton says of a version that it was not asked to keep.
UNLOADED = ("", "unloaded")


class Triton:
    """One Triton, or several equal ones in turn.

    Make it inside a running event loop, and close it there.
    """

    def __init__(
        self, addresses: list[str], model_name: str, *, budget: TokenBudget, max_chunk_tokens: int
    ) -> None:
        self.fleet = Fleet(addresses)
        self._model_name = model_name
        self._budget = budget
        self._max_chunk_tokens = max_chunk_tokens
        self.answered_at: dict[str, float] = {}

    async def close(self) -> None:
        """End the channels and what is under way on them."""
        await self.fleet.close()

    async def readiness(self, version: str, within: float) -> dict[str, Readiness]:
        """Which Triton serves the version, of those that answer `within` seconds."""
        addresses = self.fleet.addresses
        answers = (self._ask_ready(address, version, within) for address in addresses)
        return dict(zip(addresses, await asyncio.gather(*answers), strict=True))

    async def _ask_ready(self, address: str, version: str, within: float) -> Readiness:
        request = service_pb2.ModelReadyRequest(name=self._model_name, version=version)
        try:
            response = await self.fleet.stub(address).ModelReady(request, timeout=within)
        except grpc.aio.AioRpcError as error:
            gone = error.code() is grpc.StatusCode.UNAVAILABLE
            return Readiness.AWAY if gone else Readiness.SILENT
        return Readiness.READY if response.ready else Readiness.NOT_LOADED

    async def load_failures(self, within: float) -> dict[str, str]:
        """Versions that a Triton could not load, and why, where one tells (it may be closed)."""
        addresses = self.fleet.addresses
        answers = await asyncio.gather(*(self._ask_index(one, within) for one in addresses))
        return {number: reason for answer in reversed(answers) for number, reason in answer.items()}

    async def _ask_index(self, address: str, within: float) -> dict[str, str]:
        request = service_pb2.RepositoryIndexRequest()
        try:
            response = await self.fleet.stub(address).RepositoryIndex(request, timeout=within)
        except grpc.aio.AioRpcError:
            return {}
        return {
            model.version: f"{address}: {gist(model.reason)}"
            for model in response.models
            if model.name == self._model_name
            and model.state == "UNAVAILABLE"
            and model.reason not in UNLOADED
        }

    async def infer(self, packed: PackedWindows, version: str) -> Logits:
        """Compute the logits of packed windows at any Triton; long work goes in chunks.

        Raises:
            ServerError: Triton could not be reached, refused, or gave no usable answer.
        """
        total = len(packed.input_ids)
        if total <= self._max_chunk_tokens:
            return await self._infer_chunk(packed, version, chunk=False)
        # Now that its tokens are counted, and others may have come while they were.
        self._budget.check(total, long=True)
        chunks = split_windows(packed, self._max_chunk_tokens)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._infer_chunk(chunk, version, chunk=True))
                    for chunk in chunks
                ]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        parts = [task.result() for task in tasks]
        return Logits(
            starts=np.concatenate([part.starts for part in parts]),
            ends=np.concatenate([part.ends for part in parts]),
            queue_seconds=parts[0].queue_seconds,
            infer_seconds=max(p.queue_seconds + p.infer_seconds for p in parts)
            - parts[0].queue_seconds,
        )

    async def probe(self, packed: PackedWindows, version: str, address: str) -> Logits:
        """Compute at one Triton at once, beside the budget; all chunks at the same time.

        Raises:
            ServerError: as `infer` does.
        """
        begin = perf_counter()
        chunks = list(split_windows(packed, self._max_chunk_tokens))
        try:
            async with asyncio.TaskGroup() as group:
                asked = (self._ask(chunk, version, address) for chunk in chunks)
                tasks = [group.create_task(one) for one in asked]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        starts, ends = zip(*(task.result() for task in tasks), strict=True)
        seconds = perf_counter() - begin
        return Logits(np.concatenate(starts), np.concatenate(ends), 0.0, seconds)

    async def _infer_chunk(self, packed: PackedWindows, version: str, *, chunk: bool) -> Logits:
        begin = perf_counter()
        async with AsyncExitStack() as held:
            with tracing.stage("queue"):
                room = self._budget.reserve(len(packed.input_ids), chunk=chunk)
                await held.enter_async_context(room)
            admitted = perf_counter()
            with tracing.stage("infer", SpanKind.CLIENT) as span:
                describe(span, packed, version)
                starts, ends = await self._ask(packed, version)
        self.answered_at[version] = asyncio.get_running_loop().time()
        return Logits(starts, ends, admitted - begin, perf_counter() - admitted)

    async def _ask(
        self, packed: PackedWindows, version: str, address: str | None = None
    ) -> tuple[FloatArray, ...]:
        request = build_request(self._model_name, version, packed)
        triton = self.fleet.stub(address)
        try:
            response = await triton.ModelInfer(request, metadata=tracing.outgoing())
        except grpc.aio.AioRpcError as error:
            raise map_error(error) from None
        return read_logits(response, len(packed.input_ids))


@dataclass(frozen=True, slots=True)
class VersionInference:
    """Inference with one model version, which is given nothing that it cannot take."""

    triton: Triton
    version: str
    limits: TensorLimits

    async def infer(self, packed: PackedWindows) -> Logits:
        """Compute the logits; raises as `Triton.infer` does."""
        self._check(packed)
        return await self.triton.infer(packed, self.version)

    async def probe(self, packed: PackedWindows, address: str) -> Logits:
        """Compute at one Triton at once; raises as `Triton.probe` does."""
        self._check(packed)
        return await self.triton.probe(packed, self.version, address)

    def _check(self, packed: PackedWindows) -> None:
        # At libtorch one bad request fails its whole batch.
        if defect := self.limits.defect(packed):
            raise InferenceError(f"not sent, because the model cannot take it: {defect}")


def describe(span: Span, packed: PackedWindows, version: str) -> None:
    """Say in a span how much work it is, and what does it."""
    if span.is_recording():
        span.set_attributes(
            {
                "rpc.system": "grpc",
                "rpc.service": "inference.GRPCInferenceService",
                "rpc.method": "ModelInfer",
                "spanqa.tokens": len(packed.input_ids),
                "spanqa.windows": len(packed.window_lengths),
                "spanqa.model_version": version,
            }
        )
