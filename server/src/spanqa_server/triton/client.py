"""Inference on Triton: work within the token budget, in chunks; canaries beside it."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

import grpc
import numpy as np
from opentelemetry.trace import Span, SpanKind

from spanqa_server.errors import InferenceError
from spanqa_server.qa.answerer import Logits
from spanqa_server.qa.windows import PackedWindows, TensorLimits, split_windows
from spanqa_server.scheduling.call import current_call
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.telemetry import tracing
from spanqa_server.triton.access import Access
from spanqa_server.triton.fleet import OPEN, Fleet
from spanqa_server.triton.protocol import FloatArray, build_request, map_error, read_logits
from spanqa_server.versions.repository import MODEL_NAME

T = TypeVar("T")


class Triton:
    """One Triton, or several equal ones in turn.

    Make it inside a running event loop, and close it there.
    """

    def __init__(
        self,
        addresses: list[str],
        *,
        budget: TokenBudget,
        max_chunk_tokens: int,
        access: Access = OPEN,
    ) -> None:
        self.fleet = Fleet(addresses, access)
        self.answered_at: dict[str, float] = {}
        """When each version last answered a call, by the event loop's clock."""
        self._budget = budget
        self._max_chunk_tokens = max_chunk_tokens

    async def close(self) -> None:
        """End the channels and what is under way on them."""
        await self.fleet.close()

    async def infer(self, packed: PackedWindows, version: str) -> Logits:
        """Compute the logits of packed windows at any Triton, in turn with other work.

        Raises:
            ServerError: Triton could not be reached, refused, or gave no usable answer.
        """
        total = len(packed.input_ids)
        if total <= self._max_chunk_tokens:
            return await self._infer_chunk(packed, version, chunk=False)
        # Now that its tokens are counted, and others may have come while they were.
        self._budget.check(total, current_call(), long=True)
        chunks = split_windows(packed, self._max_chunk_tokens)
        parts = await all_of(self._infer_chunk(chunk, version, chunk=True) for chunk in chunks)
        return Logits(
            starts=np.concatenate([part.starts for part in parts]),
            ends=np.concatenate([part.ends for part in parts]),
            queue_seconds=parts[0].queue_seconds,
            infer_seconds=max(p.queue_seconds + p.infer_seconds for p in parts)
            - parts[0].queue_seconds,
        )

    async def probe(self, packed: PackedWindows, version: str, address: str) -> Logits:
        """Compute at one Triton, now, whatever else is in flight.

        Raises:
            ServerError: as `infer` does.
        """
        begin = perf_counter()
        chunks = split_windows(packed, self._max_chunk_tokens)
        answers = await all_of(self._ask(chunk, version, address) for chunk in chunks)
        starts, ends = zip(*answers, strict=True)
        seconds = perf_counter() - begin
        return Logits(np.concatenate(starts), np.concatenate(ends), 0.0, seconds)

    async def _infer_chunk(self, packed: PackedWindows, version: str, *, chunk: bool) -> Logits:
        begin = perf_counter()
        async with AsyncExitStack() as held:
            with tracing.stage("queue"):
                room = self._budget.reserve(len(packed.input_ids), chunk=chunk)
                at_a_time = await held.enter_async_context(room)
            admitted = perf_counter()
            with tracing.stage("infer", SpanKind.CLIENT) as span:
                describe(span, packed, version)
                starts, ends = await self._ask_in_parts(packed, version, at_a_time)
        self.answered_at[version] = asyncio.get_running_loop().time()
        return Logits(starts, ends, admitted - begin, perf_counter() - admitted)

    async def _ask_in_parts(
        self, packed: PackedWindows, version: str, most_tokens: int
    ) -> tuple[FloatArray, ...]:
        """Ask for windows, at most so many tokens at a time: others' work goes in between."""
        if len(packed.input_ids) <= most_tokens or len(packed.window_lengths) == 1:
            return await self._ask(packed, version)
        parts = [await self._ask(part, version) for part in split_windows(packed, most_tokens)]
        return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))

    async def _ask(
        self, packed: PackedWindows, version: str, address: str | None = None
    ) -> tuple[FloatArray, ...]:
        request = build_request(MODEL_NAME, version, packed)
        stub = self.fleet.stub(address)
        try:
            response = await stub.ModelInfer(request, metadata=tracing.outgoing())
        except grpc.aio.AioRpcError as error:
            raise map_error(error) from None
        return read_logits(response, len(packed.input_ids))


@dataclass(frozen=True, slots=True)
class VersionInference:
    """Inference with one model version, which is sent nothing that it cannot take."""

    triton: Triton
    version: str
    limits: TensorLimits

    async def infer(self, packed: PackedWindows) -> Logits:
        """Compute the logits; raises as `Triton.infer` does."""
        # At libtorch one bad request fails its whole batch.
        if defect := self.limits.defect(packed):
            raise InferenceError(f"not sent, because the model cannot take it: {defect}")
        return await self.triton.infer(packed, self.version)


async def all_of(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of work that is done at the same time, in its order.

    The first failure ends the rest, and is raised.
    """
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(one) for one in work]
        return [task.result() for task in tasks]
    except BaseExceptionGroup as failures:
        failure = failures.exceptions[0]
    try:
        raise failure
    finally:  # a failure that its own traceback knows would live on, and all its work with it
        del failure, tasks


def describe(span: Span, packed: PackedWindows, version: str) -> None:
    """Note in a span how much work it is, and for which version."""
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
