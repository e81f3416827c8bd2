"""What every unary call of the service passes through: parsing, errors, metrics."""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.errors import MalformedRequestError, ServerError
from spanqa_server.grpc_api.errors import to_status
from spanqa_server.telemetry.metrics import CALL_SECONDS, CALLS

logger = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["QuestionAnsweringService"]
PREFIX = f"/{SERVICE.full_name}/"


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Turns bytes that are no message and the package's errors into clear statuses."""

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the unary methods of the service; leave health and reflection alone."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(PREFIX) or handler.unary_unary is None:
            return handler
        name = method.removeprefix(PREFIX)
        parse = handler.request_deserializer
        behave: Any = handler.unary_unary

        async def call(raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            begin = perf_counter()
            code = grpc.StatusCode.OK
            try:
                return await behave(parse_request(parse, raw, name), context)
            except ServerError as error:
                status = rpc_status.to_status(to_status(error))
                code = status.code
                await context.abort(status.code, status.details, status.trailing_metadata)
            except grpc.aio.AbortError:
                code = context.code()
                raise
            except asyncio.CancelledError:  # the caller's doing, or its deadline passed
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception:
                code = grpc.StatusCode.INTERNAL
                logger.exception("%s failed", name)
                await context.abort(code, "internal error; the server's log has more")
            finally:
                CALLS.labels(name, code.name).inc()
                CALL_SECONDS.labels(name).observe(perf_counter() - begin)

        return grpc.unary_unary_rpc_method_handler(
            call, response_serializer=handler.response_serializer
        )


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
