"""What the embedded Triton's API refuses to other programs of this machine."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from support.processes import RunningServer
from support.triton import address_of, batch_statistics

CLOSED = [
    ("ModelConfig", pb.ModelConfigRequest(name="bert_qa")),
    ("RepositoryIndex", pb.RepositoryIndexRequest()),
    ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="bert_qa")),
    ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="bert_qa")),
    ("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest()),
    ("SystemSharedMemoryRegister", pb.SystemSharedMemoryRegisterRequest(name="x", key="/x")),
    ("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest()),
    ("CudaSharedMemoryRegister", pb.CudaSharedMemoryRegisterRequest(name="x")),
    ("TraceSetting", pb.TraceSettingRequest()),
    ("LogSettings", pb.LogSettingsRequest()),
]


@pytest.fixture
def triton(server: RunningServer) -> Iterator[Any]:
    with grpc.insecure_channel(address_of(server)) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize(("method", "request_"), CLOSED, ids=[name for name, _ in CLOSED])
def test_what_changes_it_is_closed(triton: Any, method: str, request_: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        getattr(triton, method)(request_, timeout=10)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "restricted" in (raised.value.details() or "")


def test_what_is_needed_is_open(server: RunningServer, triton: Any) -> None:
    assert triton.ModelReady(pb.ModelReadyRequest(name="bert_qa"), timeout=10).ready
    assert triton.ServerMetadata(pb.ServerMetadataRequest(), timeout=10).name == "triton"
    assert batch_statistics(address_of(server))
