"""What every call of the service passes through: tokens, parsing, errors, records of calls."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health

from spanqa_server.errors import (
    InvalidRequestError,
    MalformedRequestError,
    ServerError,
    UnauthenticatedError,
)
from spanqa_server.grpc_api.calls import SERVICE, note_call
from spanqa_server.grpc_api.message_bounds import MessageBounds
from spanqa_server.grpc_api.statuses import Ending, abort
from spanqa_server.scheduling.intake import Intake
from spanqa_server.security.bearer_tokens import BearerTokens
from spanqa_server.telemetry.metrics import REFUSALS, REPEATED_CALLS

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

logger = logging.getLogger(__name__)

PREFIX = f"/{SERVICE.full_name}/"
HEALTH = f"/{health.SERVICE_NAME}/"
# Of gRPC's own retries, and of the Python client's.
ATTEMPTS = ("grpc-previous-rpc-attempts", "spanqa-previous-attempts")
INTERNAL = "internal error; the server's log has more"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Turns bytes that are no message and the package's errors into clear statuses.

    With `tokens`, only calls that bring one of them go through, and questions about health.
    """

    def __init__(
        self, tokens: BearerTokens | None = None, bounds: MessageBounds | None = None
    ) -> None:
        self._tokens = tokens
        self._bounds = bounds
        self._intake = Intake(monotonic)
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the methods of the service; leave health and reflection alone."""
        method = handler_call_details.method
        if self._tokens and not method.startswith(HEALTH):
            given = dict(handler_call_details.invocation_metadata).get("authorization")
            if not self._tokens.accept(given):
                REFUSALS.labels("unauthenticated").inc()
                return NO_ENTRY
        if method in self._handlers:
            return self._handlers[method]
        handler = await continuation(handler_call_details)
        if handler is None or not method.startswith(PREFIX):
            return handler
        self._handlers[method] = wrap(
            handler, Parser.of(handler, method.removeprefix(PREFIX), self._bounds), self._intake
        )
        return self._handlers[method]


async def refuse(_: object, context: Context) -> None:
    """End a call that brings no valid token."""
    remedy = "send the metadata `authorization: Bearer TOKEN` with a token of this server"
    await abort(context, UnauthenticatedError(remedy))


# A stream's handler need not wait for a message, so it fits every method.
NO_ENTRY: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(refuse)


def ending_of(error: Exception, method: str) -> Ending:
    """What the caller is told of an error, which is counted or logged."""
    if not isinstance(error, ServerError):
        logger.exception("%s failed", method)
        return Ending(grpc.StatusCode.INTERNAL, INTERNAL)
    if isinstance(error, (InvalidRequestError, MalformedRequestError)):
        REFUSALS.labels("invalid").inc()
    return Ending.of(error)


ANSWERED, CANCELLED = Ending(), Ending(grpc.StatusCode.CANCELLED)


def wrap(
    handler: grpc.RpcMethodHandler[Any, Any], parse: Parser, intake: Intake
) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler of a method with parsing, errors and metrics around it.

    To gRPC each method takes a stream: the bytes of a message are then ours to drop once they are
    parsed. A call is aborted where no frame knows its message: gRPC keeps the error that it raises
    then, and the frames with it, until the garbage collector comes.

    A call is counted before its caller hears of its end: whoever has seen an error finds it in the
    metrics.
    """
    name = parse.method
    answer: Any = handler.unary_unary
    stream: Any = handler.stream_stream

    async def attempt(raws: list[Any], context: Context) -> Any:
        return await answer(parse(raws.pop()), context)

    async def call(_: object, context: Context) -> Any:
        raws = [await receive(context, context.peer(), intake, prompt=True)]
        end = begin(name, context)
        response, ending = None, ANSWERED
        try:
            response = await attempt(raws, context)
        except asyncio.CancelledError:  # the caller's doing, or its deadline passed
            end(CANCELLED)
            raise
        except Exception as error:
            ending = ending_of(error, name)
        end(ending)
        await ending.tell(context)
        return response

    async def requests(context: Context, peer: str) -> AsyncIterator[Any]:
        prompt = True
        while (raw := await receive(context, peer, intake, prompt=prompt)) is not grpc.aio.EOF:
            request, prompt = parse(raw), False
            del raw
            yield request
            del request

    async def call_stream(_: object, context: Context) -> AsyncIterator[Any]:
        end = begin(name, context)
        ending = ANSWERED
        try:
            # A stream that is given up may read on for a moment. Its peer is known from here on:
            # of a call that has ended, gRPC crashes when it is asked.
            messages = requests(context, context.peer())
            async with aclosing(stream(messages, context)) as responses:
                async for response in responses:
                    yield response
        except (asyncio.CancelledError, GeneratorExit):
            end(CANCELLED)
            raise
        except Exception as error:
            ending = ending_of(error, name)
        end(ending)
        await ending.tell(context)

    if stream is not None:
        return grpc.stream_stream_rpc_method_handler(
            call_stream, response_serializer=handler.response_serializer
        )
    return grpc.stream_unary_rpc_method_handler(
        call, response_serializer=handler.response_serializer
    )


async def receive(context: Context, peer: str, intake: Intake, *, prompt: bool) -> Any:
    """The bytes of a call's next message, or EOF; `prompt`: its caller need not wait to send it."""
    reading = await intake.begin(peer, prompt=prompt)
    size = 0
    try:
        raw = await context.read()
        if raw is not grpc.aio.EOF:
            size = len(raw)
        return raw
    finally:
        intake.end(reading, size)


def begin(method: str, context: Context) -> Callable[[Ending], None]:
    """Record that a call begins; the returned function records its end."""
    note_end = note_call(method, context)
    metadata = context.invocation_metadata() or ()
    if any(key in ATTEMPTS for key, _ in metadata):
        REPEATED_CALLS.inc()
    return lambda ending: note_end(ending.code, ending.details)


@dataclass(frozen=True, slots=True)
class Parser:
    """Makes messages of bytes, of those that are within the bounds."""

    parse: Callable[[bytes], Any] | None
    method: str
    bounds: MessageBounds | None

    @classmethod
    def of(
        cls, handler: grpc.RpcMethodHandler[Any, Any], method: str, bounds: MessageBounds | None
    ) -> Parser:
        """Of the messages of a method."""
        return cls(handler.request_deserializer, method, bounds)

    def __call__(self, raw: Any) -> Any:
        """Parse a message.

        Raises:
            MalformedRequestError: it is not such a message, or there is none.
            InvalidRequestError: it holds more than it may.
        """
        if raw is grpc.aio.EOF:
            raise MalformedRequestError("the call ended without a request; send one")
        if self.bounds:
            self.bounds.check(self.method, raw)
        try:
            return self.parse(raw) if self.parse else raw
        except DecodeError:
            message = SERVICE.methods_by_name[self.method].input_type.full_name
            raise MalformedRequestError(
                f"the request is not a {message}: broken protobuf, or a string that is not UTF-8"
            ) from None
