"""Health and reflection, as clients of other languages use them."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

VERSIONS = ("v1", "v1alpha")
SERVICES = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "spanqa.v1.QuestionAnsweringService",
}


def reflect(channel: grpc.Channel, version: str, **asked: str) -> Any:
    """One answer of reflection; the messages of both versions are the same."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = iter([reflection_pb2.ServerReflectionRequest(**asked)])
    [response] = call(requests, timeout=10)
    return response


def files(channel: grpc.Channel, version: str, symbol: str) -> descriptor_pool.DescriptorPool:
    """A pool with nothing but what reflection tells of a symbol."""
    answer = reflect(channel, version, file_containing_symbol=symbol)
    described = map(
        FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto
    )
    waiting = {one.name: one for one in described}
    pool = descriptor_pool.DescriptorPool()

    def add(name: str) -> None:
        one = waiting.pop(name, None)
        if one is not None:
            for dependency in one.dependency:
                add(dependency)
            pool.Add(one)

    for name in list(waiting):
        add(name)
    return pool


@pytest.mark.parametrize("version", VERSIONS)
def test_reflection_lists_and_describes_every_service(channel: grpc.Channel, version: str) -> None:
    listed = reflect(channel, version, list_services="").list_services_response.service
    assert {service.name for service in listed} == SERVICES
    for name in SERVICES:
        service = files(channel, version, name).FindServiceByName(name)
        for method in service.methods:
            assert method.input_type.full_name
            by_method = files(channel, version, f"{name}.{method.name}")
            assert by_method.FindServiceByName(name).full_name == name
    options = files(channel, version, "spanqa.v1.AnswerOptions")
    described = options.FindMessageTypeByName("spanqa.v1.AnswerOptions")
    assert {field.json_name for field in described.fields} >= {"topK", "maxAnswersPerDocument"}
    answer = reflect(channel, version, file_containing_symbol="no.such.Service")
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_health_lists_all_services(channel: grpc.Channel, version: str) -> None:
    pool = files(channel, version, "grpc.health.v1.Health")
    method = pool.FindServiceByName("grpc.health.v1.Health").methods_by_name["List"]
    request, response = (
        message_factory.GetMessageClass(one) for one in (method.input_type, method.output_type)
    )
    call = channel.unary_unary(
        "/grpc.health.v1.Health/List",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    statuses: Any = call(request(), timeout=10)
    assert {name: one.status for name, one in statuses.statuses.items()} == {
        "": health_pb2.HealthCheckResponse.SERVING,
        "spanqa.v1.QuestionAnsweringService": health_pb2.HealthCheckResponse.SERVING,
    }


def test_health_of_an_unknown_service(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    asked = health_pb2.HealthCheckRequest(service="spanqa")
    with pytest.raises(grpc.RpcError) as raised:
        stub.Check(asked, timeout=10)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert "spanqa.v1.QuestionAnsweringService" in (raised.value.details() or "")
    watch = stub.Watch(asked, timeout=10)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()
