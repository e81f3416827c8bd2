"""Inference on Triton over one channel, straight on its protocol (KServe v2)."""

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

import grpc
import numpy as np
from opentelemetry.trace import Span, SpanKind
from tritonclient.grpc import service_pb2, service_pb2_grpc

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
    StartupError,
    VersionGoneError,
)
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows, split_windows
from spanqa_server.telemetry import tracing
from spanqa_server.triton.dispatcher import TokenBudget

INPUTS = ("input_ids", "token_type_ids", "window_lengths")
OUTPUTS = ("start_logits__0", "end_logits__1")
FloatArray = np.ndarray[tuple[int], np.dtype[np.float32]]


class Triton:
    """One Triton, or several equal ones in turn.

    Make it inside a running event loop, and close it there.
    """

    def __init__(
        self, addresses: list[str], model_name: str, *, budget: TokenBudget, max_chunk_tokens: int
    ) -> None:
        self._channel = open_channel(channel_target(addresses))
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        # Each is asked for itself whether it is ready: a version must be on all of them.
        several = addresses if len(addresses) > 1 else []
        self._channels = [open_channel(address) for address in several] or [self._channel]
        self._model_name = model_name
        self._budget = budget
        self._max_chunk_tokens = max_chunk_tokens
        self.answered_at: dict[str, float] = {}

    async def close(self) -> None:
        """End the channels and what is under way on them."""
        for channel in {self._channel, *self._channels}:
            await channel.close()

    async def is_ready(self, version: str, within: float) -> bool:
        """Whether every Triton that answers `within` seconds, at least one, serves the version."""
        answers = await asyncio.gather(
            *(self._ask_ready(channel, version, within) for channel in self._channels)
        )
        return any(answers) and all(answer is not False for answer in answers)

    async def _ask_ready(
        self, channel: grpc.aio.Channel, version: str, within: float
    ) -> bool | None:
        request = service_pb2.ModelReadyRequest(name=self._model_name, version=version)
        try:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            response = await stub.ModelReady(request, timeout=within)
        except grpc.aio.AioRpcError:
            return None
        return bool(response.ready)

    async def infer(self, packed: PackedWindows, version: str) -> Logits:
        """Compute the logits of packed windows; long work goes in chunks.

        Raises:
            ServerError: Triton could not be reached, refused, or gave no usable answer.
        """
        total = len(packed.input_ids)
        if total <= self._max_chunk_tokens:
            return await self._infer_chunk(packed, version, total)
        chunks = split_windows(packed, self._max_chunk_tokens)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._infer_chunk(chunk, version, total)) for chunk in chunks
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

    async def _infer_chunk(self, packed: PackedWindows, version: str, total: int) -> Logits:
        begin = perf_counter()
        async with AsyncExitStack() as held:
            with tracing.stage("queue"):
                room = self._budget.reserve(len(packed.input_ids), total)
                await held.enter_async_context(room)
            admitted = perf_counter()
            with tracing.stage("infer", SpanKind.CLIENT) as span:
                describe(span, packed, version)
                starts, ends = await self._ask(packed, version)
        self.answered_at[version] = asyncio.get_running_loop().time()
        return Logits(starts, ends, admitted - begin, perf_counter() - admitted)

    async def _ask(self, packed: PackedWindows, version: str) -> tuple[FloatArray, ...]:
        request = build_request(self._model_name, version, packed)
        try:
            response = await self._stub.ModelInfer(request, metadata=tracing.outgoing())
        except grpc.aio.AioRpcError as error:
            raise map_error(error) from None
        return read_logits(response, len(packed.input_ids))


@dataclass(frozen=True, slots=True)
class VersionInference:
    """Inference with one model version."""

    triton: Triton
    version: str

    async def infer(self, packed: PackedWindows) -> Logits:
        """Compute the logits; raises as `Triton.infer` does."""
        return await self.triton.infer(packed, self.version)


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


def open_channel(target: str) -> grpc.aio.Channel:
    """A channel without limits on messages and without retries."""
    return grpc.aio.insecure_channel(
        target,
        options=[
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.lb_policy_name", "round_robin"),
            ("grpc.enable_retries", 0),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ],
    )


def channel_target(addresses: list[str]) -> str:
    """A gRPC target: a name is left to gRPC's resolver, several addresses become one list.

    Raises:
        StartupError: one of several names does not resolve.
    """
    if len(addresses) == 1:
        return addresses[0]
    resolved = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            found = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "not a host name"
            raise StartupError(f"--triton {address}: {reason}") from None
        resolved += [f"{entry[4][0]!s}:{port}" for entry in found]
    return "ipv4:" + ",".join(dict.fromkeys(resolved))


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
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND):
        return ModelUnavailableError(f"the model cannot be reached now ({details})")
    return InferenceError(f"the model failed ({details})")
