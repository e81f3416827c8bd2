"""What tests ask the embedded Triton itself."""

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from support.processes import RunningServer


def address_of(server: RunningServer) -> str:
    """Where it takes inference."""
    options = dict(part.split("=", 1) for part in server.triton().cmdline() if "=" in part)
    return f"{options['--grpc-address']}:{options['--grpc-port']}"


def batch_statistics(address: str) -> tuple[int, int]:
    """Requests and executions (batches) of the model so far."""
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelStatisticsRequest(name="bert_qa", version="1")
        statistics = stub.ModelStatistics(request, timeout=10).model_stats[0]
    return statistics.inference_count, statistics.execution_count


def executed_requests(address: str) -> int:
    return batch_statistics(address)[0]
