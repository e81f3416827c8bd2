"""What every call of the service passes through: tokens, parsing, errors, records of calls."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health
from grpc_status import rpc_status

from spanqa_server.errors import (
    InvalidRequestError,
    MalformedRequestError,
    ServerError,
    UnauthenticatedError,
)
from spanqa_server.grpc_api.calls import SERVICE, note_call
from spanqa_server.grpc_api.statuses import retry_metadata, to_status
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

    def __init__(self, tokens: BearerTokens | None = None) -> None:
        self._tokens = tokens
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
        self._handlers[method] = wrap(handler, method.removeprefix(PREFIX))
        return self._handlers[method]


async def refuse(_: object, context: Context) -> None:
    """End a call that brings no valid token."""
    remedy = "send the metadata `authorization: Bearer TOKEN` with a token of this server"
    status = rpc_status.to_status(to_status(UnauthenticatedError(remedy)))
    await context.abort(status.code, status.details, status.trailing_metadata)


# A stream's handler need not wait for a message, so it fits every method.
NO_ENTRY: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(refuse)


def wrap(handler: grpc.RpcMethodHandler[Any, Any], name: str) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler of the method `name`, with parsing, errors and metrics around it."""
    parse = handler.request_deserializer
    answer: Any = handler.unary_unary
    stream: Any = handler.stream_stream

    async def call(raw: bytes, context: Context) -> Any:
        async with outcome(name, context):
            return await answer(parse_request(parse, raw, name), context)

    async def call_stream(raws: AsyncIterable[bytes], context: Context) -> AsyncIterator[Any]:
        requests = (parse_request(parse, raw, name) async for raw in raws)
        async with outcome(name, context), aclosing(stream(requests, context)) as responses:
            async for response in responses:
                yield response

    if stream is not None:
        return grpc.stream_stream_rpc_method_handler(
            call_stream, response_serializer=handler.response_serializer
        )
    return grpc.unary_unary_rpc_method_handler(
        call, response_serializer=handler.response_serializer
    )


@asynccontextmanager
async def outcome(method: str, context: Context) -> AsyncIterator[None]:
    """Give the call its status, whatever happens in the block, and record its end.

    It is counted before its caller hears of it: whoever has seen an error finds it in the metrics.
    """
    end = note_call(method, context)
    metadata = context.invocation_metadata() or ()
    if any(key in ATTEMPTS for key, _ in metadata):
        REPEATED_CALLS.inc()
    try:
        yield
    except ServerError as error:
        if isinstance(error, (InvalidRequestError, MalformedRequestError)):
            REFUSALS.labels("invalid").inc()
        status = rpc_status.to_status(to_status(error))
        end(status.code, status.details)
        trailing = (*status.trailing_metadata, *retry_metadata(error))
        await context.abort(status.code, status.details, trailing)
    except (asyncio.CancelledError, GeneratorExit):  # the caller's doing, or its deadline passed
        end(grpc.StatusCode.CANCELLED, "")
        raise
    except Exception:
        logger.exception("%s failed", method)
        end(grpc.StatusCode.INTERNAL, INTERNAL)
        await context.abort(grpc.StatusCode.INTERNAL, INTERNAL)
    else:
        end(grpc.StatusCode.OK, "")


def parse_request(parse: Callable[[bytes], Any] | None, raw: bytes, method: str) -> Any:
    """Parse the bytes of a request.

    Raises:
        MalformedRequestError: they are not such a message.
    """
    try:
        return parse(raw) if parse else raw
    except DecodeError:
        message = SERVICE.methods_by_name[method].input_type.full_name
        raise MalformedRequestError(
            f"the request is not a {message}: broken protobuf, or a string that is not UTF-8"
        ) from None
