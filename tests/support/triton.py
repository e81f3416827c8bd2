"""What tests ask a Triton itself."""

from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from spanqa_server.qa.windows import PackedWindows
from spanqa_server.versions.repository import MODEL_NAME
from support.processes import RunningServer


def address_of(server: RunningServer) -> str:
    """Where it takes inference."""
    options = dict(part.split("=", 1) for part in server.triton().cmdline() if "=" in part)
    return f"{options['--grpc-address']}:{options['--grpc-port']}"


def model_statistics(address: str, version: str = "1") -> Any:
    """What Triton tells of a version of the model."""
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelStatisticsRequest(name=MODEL_NAME, version=version)
        return stub.ModelStatistics(request, timeout=10).model_stats[0]


def batch_statistics(address: str) -> tuple[int, int]:
    """Requests and executions (batches) of the model so far."""
    statistics = model_statistics(address)
    return statistics.inference_count, statistics.execution_count


def executed_requests(server: RunningServer) -> int:
    """Requests of callers that its model has done so far: without trial questions."""
    while True:
        canaries = canaries_of(server)
        requests, _ = batch_statistics(address_of(server))
        if canaries_of(server) == canaries:
            return requests - canaries


def canaries_of(server: RunningServer) -> int:
    canaries = (
        n for name, n in server.metrics().items() if name.startswith("spanqa_canaries_total")
    )
    return int(sum(canaries))


def make_windows(seed: int, lengths: list[int]) -> PackedWindows:
    """Windows of any tokens."""
    random = np.random.default_rng(seed)
    total = sum(lengths)
    return PackedWindows(
        input_ids=random.integers(1000, 30000, total).astype(np.int32),
        token_type_ids=np.concatenate([np.arange(n) >= 12 for n in lengths]).astype(np.int32),
        window_lengths=np.array(lengths, dtype=np.int32),
    )
