"""gRPC reflection, v1 and v1alpha, that knows methods by name, and names in JSON, too.

grpcio-reflection has v1alpha alone. The two differ in the name of the package only, so one servicer
serves both. Python's descriptor pool finds no file for a method's name; ghz and `grpcurl describe`
ask for it. Its descriptors lack the names that fields have in JSON, without which grpcurl takes and
prints `top_k` only, not `topK`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

from spanqa_server.grpc_api import health

OLD, NEW = "grpc.reflection.v1alpha", "grpc.reflection.v1"
SERVICE_NAMES = (f"{OLD}.ServerReflection", f"{NEW}.ServerReflection")


def file_of_v1() -> FileDescriptorProto:
    """The description of v1."""
    described = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(described)
    described.name, described.package = "grpc/reflection/v1/reflection.proto", NEW
    for message in described.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(f".{OLD}.", f".{NEW}.")
    for method in described.service[0].method:
        method.input_type = method.input_type.replace(f".{OLD}.", f".{NEW}.")
        method.output_type = method.output_type.replace(f".{OLD}.", f".{NEW}.")
    return described


class _Pool:
    """What is described: the health service and v1 of reflection as served here, then all else."""

    def __init__(self) -> None:
        own = descriptor_pool.DescriptorPool()
        for described in (health.file_with_list(), file_of_v1()):
            own.AddSerializedFile(described.SerializeToString())
        self._pools: tuple[Any, ...] = (own, descriptor_pool.Default())

    def __getattr__(self, name: str) -> Any:
        def find(*arguments: object) -> Any:
            with contextlib.suppress(KeyError):
                return getattr(self._pools[0], name)(*arguments)
            return getattr(self._pools[1], name)(*arguments)

        return find

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        for pool in self._pools:
            with contextlib.suppress(KeyError):
                return pool.FindFileContainingSymbol(symbol)  # type: ignore[no-any-return]
            with contextlib.suppress(KeyError):
                return pool.FindMethodByName(symbol).containing_service.file  # type: ignore[no-any-return]
        raise KeyError(symbol)


class _Servicer(reflection.aio.ReflectionServicer):  # type: ignore[misc]
    async def ServerReflectionInfo(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for response in super().ServerReflectionInfo(requests, context):
            if response.HasField("file_descriptor_response"):
                files = response.file_descriptor_response.file_descriptor_proto
                files[:] = [with_json_names(file) for file in files]
            yield response


def with_json_names(file: bytes) -> bytes:
    """The description of a file, in which each field has its name in JSON."""
    described = FileDescriptorProto.FromString(file)
    name_fields(described.message_type)
    return described.SerializeToString()


def name_fields(messages: Iterable[DescriptorProto]) -> None:
    for message in messages:
        for field in message.field:
            first, *others = field.name.split("_")
            field.json_name = first + "".join(part[:1].upper() + part[1:] for part in others)
        name_fields(message.nested_type)


def add_reflection(server: grpc.aio.Server, services: tuple[str, ...]) -> None:
    """Serve reflection for these services and for itself."""
    servicer = _Servicer((*services, *SERVICE_NAMES), pool=_Pool())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for name in SERVICE_NAMES:
        methods = {"ServerReflectionInfo": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))
