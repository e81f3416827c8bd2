"""What tests ask the embedded Triton itself."""

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from support.processes import RunningServer


def address_of(server: RunningServer) -> str:
    connections = server.triton().net_connections("inet")
    return next(f"127.0.0.1:{c.laddr.port}" for c in connections if c.status == "LISTEN")


def batch_statistics(address: str) -> tuple[int, int]:
    """Requests and executions (batches) of the model so far."""
    with grpc.insecure_channel(address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        request = service_pb2.ModelStatisticsRequest(name="bert_qa", version="1")
        statistics = stub.ModelStatistics(request, timeout=10).model_stats[0]
    return statistics.inference_count, statistics.execution_count


def executed_requests(server: RunningServer) -> int:
    """Requests of callers that its model has done so far: without trial questions."""
    while True:
        trials = trials_of(server)
        requests, _ = batch_statistics(address_of(server))
        if trials_of(server) == trials:
            return requests - trials


def trials_of(server: RunningServer) -> int:
    trials = (n for name, n in server.metrics().items() if name.startswith("spanqa_trials_total"))
    return int(sum(trials))
