"""The standard health service: Check, Watch and List.

grpcio-health-checking has no List. Its asyncio Watch forgets all watchers of a service when one of
them leaves, so the others never hear of a change.
"""

from __future__ import annotations  # grpc's classes are generic in its stubs alone

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from grpc_health.v1 import health, health_pb2

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]

SERVING, NOT_SERVING, SERVICE_UNKNOWN = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
)

# A balancer has one for each service.
WATCHES_OF_A_CONNECTION = 16


def file_with_list() -> FileDescriptorProto:
    """The library's description of the service, with the method List of grpc-proto's."""
    described = FileDescriptorProto()
    health_pb2.DESCRIPTOR.CopyToProto(described)
    described.message_type.add(name="HealthListRequest")
    response = described.message_type.add(name="HealthListResponse")
    prefix = f".{described.package}."
    entry = response.nested_type.add(name="StatusesEntry")
    entry.options.map_entry = True
    one, message = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.TYPE_MESSAGE
    entry.field.add(name="key", number=1, label=one, type=FieldDescriptorProto.TYPE_STRING)
    entry.field.add(
        name="value", number=2, label=one, type=message, type_name=f"{prefix}HealthCheckResponse"
    )
    response.field.add(
        name="statuses",
        number=1,
        label=FieldDescriptorProto.LABEL_REPEATED,
        type=message,
        type_name=f"{prefix}HealthListResponse.StatusesEntry",
    )
    described.service[0].method.add(
        name="List",
        input_type=f"{prefix}HealthListRequest",
        output_type=f"{prefix}HealthListResponse",
    )
    return described


POOL = descriptor_pool.DescriptorPool()
POOL.AddSerializedFile(file_with_list().SerializeToString())
CheckRequest, CheckResponse, ListRequest, ListResponse = (
    message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"grpc.health.v1.{name}"))
    for name in (
        "HealthCheckRequest",
        "HealthCheckResponse",
        "HealthListRequest",
        "HealthListResponse",
    )
)


class Health:
    """The status of each service, for those who ask and those who watch."""

    def __init__(self, services: tuple[str, ...]) -> None:
        """All are NOT_SERVING."""
        self._statuses = dict.fromkeys(services, NOT_SERVING)
        self._changed = asyncio.Condition()
        self._final = False
        self._watches: Counter[str] = Counter()

    async def report(self, *, serving: bool) -> None:
        """Set the status of all services; without effect after `end`."""
        if not self._final:
            await self._set(SERVING if serving else NOT_SERVING)

    async def end(self) -> None:
        """NOT_SERVING for good."""
        self._final = True
        await self._set(NOT_SERVING)

    async def check(self, request: Any, context: Context) -> Any:
        """The status of a service now."""
        if request.service not in self._statuses:
            known = ", ".join(filter(None, self._statuses))
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service; known: {known}")
        return CheckResponse(status=self._statuses[request.service])

    async def watch(self, request: Any, context: Context) -> AsyncIterator[Any]:
        """The status of a service, and each change of it."""
        connection = context.peer()
        if self._watches[connection] >= WATCHES_OF_A_CONNECTION:
            problem = f"a connection may have {WATCHES_OF_A_CONNECTION} watches at a time"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, problem)
        self._watches[connection] += 1
        try:
            async for status in self._statuses_of(request.service):
                yield CheckResponse(status=status)
        finally:
            self._watches[connection] -= 1
            if not self._watches[connection]:
                del self._watches[connection]

    async def _statuses_of(self, service: str) -> AsyncIterator[Any]:
        told = None
        while True:
            async with self._changed:
                while self._status_of(service) == told:
                    await self._changed.wait()
            told = self._status_of(service)
            yield told

    async def list_all(self, _: Any, __: Context) -> Any:
        """The statuses of all services."""
        return ListResponse(
            statuses={name: CheckResponse(status=status) for name, status in self._statuses.items()}
        )

    def _status_of(self, service: str) -> Any:
        return self._statuses.get(service, SERVICE_UNKNOWN)

    async def _set(self, status: Any) -> None:
        async with self._changed:
            self._statuses = dict.fromkeys(self._statuses, status)
            self._changed.notify_all()


def add_health(server: grpc.aio.Server, service: Health) -> None:
    """Serve it."""
    handlers = {
        "Check": grpc.unary_unary_rpc_method_handler(
            service.check,
            request_deserializer=CheckRequest.FromString,
            response_serializer=CheckResponse.SerializeToString,
        ),
        "Watch": grpc.unary_stream_rpc_method_handler(
            service.watch,
            request_deserializer=CheckRequest.FromString,
            response_serializer=CheckResponse.SerializeToString,
        ),
        "List": grpc.unary_unary_rpc_method_handler(
            service.list_all,
            request_deserializer=ListRequest.FromString,
            response_serializer=ListResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(health.SERVICE_NAME, handlers),)
    )
