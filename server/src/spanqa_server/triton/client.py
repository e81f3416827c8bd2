"""Inference on Triton over one channel, straight on its protocol (KServe v2)."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

import grpc
import numpy as np
from opentelemetry.trace import Span, SpanKind
from tritonclient.grpc import service_pb2

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
    VersionGoneError,
)
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows, split_windows
from spanqa_server.telemetry import tracing
from spanqa_server.triton.dispatcher import TokenBudget
from spanqa_server.triton.members import Members

INPUTS = ("input_ids", "token_type_ids", "window_lengths")
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.CANCELLED)
OUTPUTS = ("start_logits__0", "end_logits__1")
FloatArray = np.ndarray[tuple[int], np.dtype[np.float32]]


class Triton:
    """One Triton, or several equal ones in turn.

    Make it inside a running event loop, and close it there.
    """

    def __init__(
        self, addresses: list[str], model_name: str, *, budget: TokenBudget, max_chunk_tokens: int
    ) -> None:
        self.members = Members(addresses)
        self._model_name = model_name
        self._budget = budget
        self._max_chunk_tokens = max_chunk_tokens
        self.answered_at: dict[str, float] = {}

    async def close(self) -> None:
        """End the channels and what is under way on them."""
        await self.members.close()

    async def readiness(self, version: str, within: float) -> dict[str, bool | None]:
        """Which Triton serves the version; None: it did not answer `within` seconds."""
        addresses = self.members.addresses
        answers = (self._ask_ready(address, version, within) for address in addresses)
        return dict(zip(addresses, await asyncio.gather(*answers), strict=True))

    async def _ask_ready(self, address: str, version: str, within: float) -> bool | None:
        request = service_pb2.ModelReadyRequest(name=self._model_name, version=version)
        try:
            response = await self.members.stub(address).ModelReady(request, timeout=within)
        except grpc.aio.AioRpcError:
            return None
        return bool(response.ready)

    async def infer(
        self, packed: PackedWindows, version: str, address: str | None = None
    ) -> Logits:
        """Compute the logits of packed windows, at one Triton or any; long work goes in chunks.

        Raises:
            ServerError: Triton could not be reached, refused, or gave no usable answer.
        """
        total = len(packed.input_ids)
        if total <= self._max_chunk_tokens:
            return await self._infer_chunk(packed, version, total, address)
        chunks = split_windows(packed, self._max_chunk_tokens)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._infer_chunk(chunk, version, total, address))
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

    async def _infer_chunk(
        self, packed: PackedWindows, version: str, total: int, address: str | None
    ) -> Logits:
        begin = perf_counter()
        async with AsyncExitStack() as held:
            with tracing.stage("queue"):
                room = self._budget.reserve(len(packed.input_ids), total)
                await held.enter_async_context(room)
            admitted = perf_counter()
            with tracing.stage("infer", SpanKind.CLIENT) as span:
                describe(span, packed, version)
                starts, ends = await self._ask(packed, version, address)
        self.answered_at[version] = asyncio.get_running_loop().time()
        return Logits(starts, ends, admitted - begin, perf_counter() - admitted)

    async def _ask(
        self, packed: PackedWindows, version: str, address: str | None
    ) -> tuple[FloatArray, ...]:
        request = build_request(self._model_name, version, packed)
        triton = self.members.stub(address)
        try:
            response = await triton.ModelInfer(request, metadata=tracing.outgoing())
        except grpc.aio.AioRpcError as error:
            raise map_error(error) from None
        return read_logits(response, len(packed.input_ids))


@dataclass(frozen=True, slots=True)
class VersionInference:
    """Inference with one model version, on one Triton or on any."""

    triton: Triton
    version: str
    address: str | None = None

    async def infer(self, packed: PackedWindows) -> Logits:
        """Compute the logits; raises as `Triton.infer` does."""
        return await self.triton.infer(packed, self.version, self.address)


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


def build_request(
    model_name: str, version: str, packed: PackedWindows
) -> service_pb2.ModelInferRequest:
    """The tensors of `PackedWindows`, INT32 [1, T], [1, T] and [1, W], as one request."""
    arrays = (packed.input_ids, packed.token_type_ids, packed.window_lengths)
    request = service_pb2.ModelInferRequest(
        model_name=model_name,
        model_version=version,
        raw_input_contents=[array.tobytes() for array in arrays],
    )
    for name, array in zip(INPUTS, arrays, strict=True):
        request.inputs.add(name=name, datatype="INT32", shape=(1, len(array)))
    return request


def read_logits(response: service_pb2.ModelInferResponse, tokens: int) -> tuple[FloatArray, ...]:
    """Start and end logits, float32 [tokens] each.

    Raises:
        InferenceError: they are not there, of another size, or not finite.
    """
    contents = {
        output.name: raw
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=False)
    }
    logits = []
    for name in OUTPUTS:
        raw = contents.get(name, b"")
        if len(raw) != 4 * tokens:
            raise InferenceError(f"the model gave {len(raw)} bytes as {name}, not {4 * tokens}")
        values = np.frombuffer(raw, dtype=np.float32)
        if not np.isfinite(values).all():
            raise InferenceError(f"the model gave {name} that are not finite numbers")
        logits.append(values)
    return tuple(logits)


def map_error(error: grpc.aio.AioRpcError) -> ServerError:
    """Triton says UNAVAILABLE to several things that differ for a caller."""
    details = error.details() or ""
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or "timeout expired" in details:
        return DeadlineError("the model did not answer in time")
    if "maximum queue size" in details:
        return OverloadedError("the model's queue is full; try again later")
    if "unknown model" in details:
        return VersionGoneError(f"the model version is not loaded now ({details})")
    if code in AWAY:
        return ModelUnavailableError(f"the model cannot be reached now ({details})")
    return InferenceError(f"the model failed ({details})")
