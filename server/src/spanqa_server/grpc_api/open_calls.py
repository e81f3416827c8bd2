"""Calls that are open, with or without a message: their number and their silence are bounded."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
from grpc_health.v1 import health

from spanqa_server.errors import DeadlineError, MalformedRequestError, ServerError
from spanqa_server.grpc_api.statuses import abort
from spanqa_server.scheduling.refusals import refusal
from spanqa_server.telemetry.metrics import REFUSALS

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
    Task = asyncio.Task[Any]

HEALTH = f"/{health.SERVICE_NAME}/"
RETRY_SECONDS = 1.0


class OpenCalls(grpc.aio.ServerInterceptor):
    """Bounds what calls take before they are admitted, which happens after their first message.

    All are handled as streams: grpc.aio cannot end a unary call that has not sent its message.
    Where as many are open as may be, a new one ends the one that has been silent for longest. If
    all have sent their messages it is refused, unless it asks about health.
    """

    def __init__(self, most: int, silent_seconds: float) -> None:
        """None is open.

        Args:
            most: calls that may be open, streams and watchers of health included.
            silent_seconds: that a call may take to send its first message.
        """
        self._most = most
        self._silent_seconds = silent_seconds
        self._open = 0
        self._silent: dict[Task, None] = {}
        """Those whose next message is awaited; the longest wait is first."""
        self._unheard: dict[Task, float] = {}
        """Those of which no message came yet, and until when one has to."""
        self._ended: dict[Task, ServerError] = {}
        """Those that were ended here, and why."""
        self._watch: asyncio.TimerHandle | None = None
        self._handlers: dict[Handler, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Count the call, and note when its messages come."""
        full = self._open >= self._most and not self._end_a_silent_one()
        if full and not handler_call_details.method.startswith(HEALTH):
            return NO_ROOM
        handler = await continuation(handler_call_details)
        if handler is None or is_refusal(handler):
            return handler
        if handler not in self._handlers:
            self._handlers[handler] = self._endable(handler)
        call = current_call()
        self._open += 1
        call.add_done_callback(self._forget)
        self._await_first_message(call)
        return self._handlers[handler]

    def _await_first_message(self, call: Task) -> None:
        loop = call.get_loop()
        self._silent[call] = None
        self._unheard[call] = loop.time() + self._silent_seconds
        if not self._watch:
            self._watch = loop.call_later(self._silent_seconds, self._end_unheard)

    def _end_a_silent_one(self) -> bool:
        """Whether there was one."""
        call = next(iter(self._silent), None)
        if call:
            self._end(call, refusal("calls", RETRY_SECONDS))
        return call is not None

    def _end_unheard(self) -> None:
        """End those whose time is over, and come again for the next."""
        self._watch = None
        for call, until in list(self._unheard.items()):
            loop = call.get_loop()
            if until > loop.time():
                self._watch = loop.call_at(until, self._end_unheard)
                return
            REFUSALS.labels("silent").inc()
            self._end(call, DeadlineError(f"no message came within {self._silent_seconds:g} s"))

    def _end(self, call: Task, why: ServerError) -> None:
        self._heard(call)
        self._ended[call] = why
        call.cancel()

    def _heard(self, call: Task) -> None:
        self._silent.pop(call, None)
        self._unheard.pop(call, None)

    def _forget(self, call: Task) -> None:
        self._open -= 1
        self._heard(call)
        self._ended.pop(call, None)

    def _endable(self, handler: Handler) -> Handler:
        """A handler that does the same, and can be ended while it waits for a message."""
        if handler.stream_unary:
            return self._endable_unary(handler)
        respond: Any = handler.stream_stream or partial(answer_one, handler)

        async def listen(raws: AsyncIterable[Any], context: Context) -> AsyncIterator[Any]:
            call = current_call()
            try:
                async with aclosing(
                    respond(self._messages(raws, call), Listening(context, self, call))
                ) as responses:
                    async for response in responses:
                        yield response
            except asyncio.CancelledError:
                if why := self._ended.get(call):
                    await abort(context, why)
                raise

        return grpc.stream_stream_rpc_method_handler(
            listen, handler.request_deserializer, handler.response_serializer
        )

    def _endable_unary(self, handler: Handler) -> Handler:
        """The same of one that reads its message itself."""
        answer: Any = handler.stream_unary

        async def listen(raws: object, context: Context) -> Any:
            call = current_call()
            try:
                return await answer(raws, Listening(context, self, call))
            except asyncio.CancelledError:
                if why := self._ended.get(call):
                    await abort(context, why)
                raise

        return grpc.stream_unary_rpc_method_handler(
            listen, handler.request_deserializer, handler.response_serializer
        )

    async def read(self, context: Context, call: Task) -> Any:
        """The next message of a call, which is silent until it comes."""
        self._silent[call] = None
        message = await context.read()
        self._heard(call)
        return message

    async def _messages(self, raws: AsyncIterable[Any], call: Task) -> AsyncIterator[Any]:
        async for raw in raws:
            self._heard(call)
            yield raw
            self._silent[call] = None
        self._heard(call)


class Listening:
    """A call's context, by which it is known whether a message is awaited."""

    __slots__ = ("_call", "_context", "_open_calls")

    def __init__(self, context: Context, open_calls: OpenCalls, call: Task) -> None:
        self._context = context
        self._open_calls = open_calls
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """The next message."""
        return await self._open_calls.read(self._context, self._call)


async def answer_one(
    handler: Handler, messages: AsyncIterator[Any], context: Context
) -> AsyncIterator[Any]:
    """Handle the one message of a call."""
    async for message in messages:
        if handler.response_streaming:
            responses: Any = handler.unary_stream
            async for response in responses(message, context):
                yield response
        else:
            answer: Any = handler.unary_unary
            yield await answer(message, context)
        return
    await abort(context, MalformedRequestError("the call brought no message"))


def is_refusal(handler: Handler) -> bool:
    """Whether it ends the call at once: those who serve streams are generators."""
    return bool(handler.stream_stream) and not inspect.isasyncgenfunction(handler.stream_stream)


def current_call() -> Task:
    """The running call: gRPC has a task for each."""
    task = asyncio.current_task()
    assert task
    return task


async def refuse(_: object, context: Context) -> None:
    """End a call for which there is no room."""
    await abort(context, refusal("calls", RETRY_SECONDS))


# A stream's handler need not wait for a message, so it fits every method.
NO_ROOM: Handler = grpc.stream_stream_rpc_method_handler(refuse)
