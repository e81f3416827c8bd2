"""A StreamAnswer call for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
)
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeAlias

import grpc

from spanqa._errors import CLOSED, CallCancelledError, error_from_rpc
from spanqa._inputs import PairLike
from spanqa._results import StreamItem
from spanqa._streams import MAX_UNANSWERED, Exchange
from spanqa.v1 import question_answering_pb2 as pb

if TYPE_CHECKING:
    AsyncCall: TypeAlias = grpc.aio.StreamStreamCall[
        pb.StreamAnswerRequest, pb.StreamAnswerResponse
    ]

_FAILED_WRITE = "Internal error from Core"
_SETTLING_STEPS = 100
_SETTLING_STEP_SECONDS = 0.01


async def stream(
    start: Callable[[], AsyncCall], pairs: Iterable[PairLike] | AsyncIterable[PairLike]
) -> AsyncGenerator[StreamItem, None]:
    """Starts a call at the first ``anext``; closing the generator cancels the call.

    ``pairs`` is read in a task of its own, which ends with the call.
    """
    exchange = Exchange()
    call = start()
    room = asyncio.Semaphore(MAX_UNANSWERED - 1)
    writer = asyncio.create_task(_write(call, exchange, pairs, room))

    def end_writer(_: object) -> None:
        if not writer.cancelling():
            writer.cancel()

    # A write that fails after the status has arrived would overwrite it (grpc/grpc#36066).
    call.add_done_callback(end_writer)
    responses = aiter(call)
    try:
        while (response := await _anext(responses, call, exchange)) is not None:
            room.release()
            yield exchange.item(response)
        exchange.check_end()
    finally:
        call.cancel()
        end_writer(call)
        await asyncio.gather(writer, return_exceptions=True)


async def _write(
    call: AsyncCall,
    exchange: Exchange,
    pairs: Iterable[PairLike] | AsyncIterable[PairLike],
    room: asyncio.Semaphore,
) -> None:
    try:
        async with aclosing(_requests(exchange, pairs)) as requests:
            async for request in requests:
                await call.write(request)
                await room.acquire()
        if exchange.all_taken:
            await call.done_writing()
    except (grpc.RpcError, asyncio.InvalidStateError):
        return  # The call has ended; the reader raises the reason.
    if exchange.failure is not None:
        call.cancel()


async def _requests(
    exchange: Exchange, pairs: Iterable[PairLike] | AsyncIterable[PairLike]
) -> AsyncGenerator[pb.StreamAnswerRequest, None]:
    try:
        if isinstance(pairs, AsyncIterable):
            async for pair in pairs:
                yield exchange.request(pair)
        else:
            for pair in pairs:
                yield exchange.request(pair)
        exchange.all_taken = True
    except GeneratorExit:
        raise
    except BaseException as error:
        if is_cancellation(error):
            raise
        exchange.failure = error


async def _anext(
    responses: AsyncIterator[pb.StreamAnswerResponse], call: AsyncCall, exchange: Exchange
) -> pb.StreamAnswerResponse | None:
    try:
        return await anext(responses, None)
    except grpc.RpcError as error:
        if exchange.failure is None:
            settled = await _settled(call, error)
            if settled is None:
                return None
            raise error_from_rpc(settled) from settled
    except asyncio.CancelledError as error:
        if is_cancellation(error):
            raise
        if exchange.failure is None:
            raise CallCancelledError(CLOSED) from None
    raise exchange.failure


async def _settled(call: AsyncCall, error: grpc.RpcError) -> grpc.RpcError | None:
    """The error that the call ended with; None if it succeeded.

    If a connection breaks while responses are unread, the failing write first sets a status of its
    own. The call's real status replaces it after the last response.
    """
    if error.details() != _FAILED_WRITE:
        return error
    for _ in range(_SETTLING_STEPS):
        if await call.details() != _FAILED_WRITE:
            break
        await asyncio.sleep(_SETTLING_STEP_SECONDS)
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return None
    metadata = await call.initial_metadata(), await call.trailing_metadata()
    return grpc.aio.AioRpcError(code, *metadata, details=await call.details())


def is_cancellation(error: BaseException) -> bool:
    """Whether the current task was cancelled, rather than a call or the caller's iterable."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
