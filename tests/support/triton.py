"""What tests ask Triton itself, past the frontend."""

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from spanqa_server.qa.windows import PackedWindows, TensorLimits
from spanqa_server.scheduling.token_budget import TokenBudget
from spanqa_server.triton.access import Access
from spanqa_server.triton.client import Triton, VersionInference
from spanqa_server.versions.repository import MODEL_NAME
from support.processes import RunningServer

# Those of the default model.
LIMITS = TensorLimits(vocabulary=30_522, positions=512)


def address_of(server: RunningServer) -> str:
    """Where it takes inference: a socket of the file system."""
    options = dict(part.split("=", 1) for part in server.triton().cmdline() if "=" in part)
    return f"{options['--grpc-address']}:{options['--grpc-port']}"


@contextmanager
def on_tcp(address: str) -> Iterator[str]:
    """The same Triton at HOST:PORT: a frontend takes no sockets where it has several Tritons."""
    path = address.removeprefix("unix:")

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as behind, contextlib.suppress(OSError):
                behind.connect(path)
                pair = (self.request, behind)
                while ready := select.select(pair, (), ())[0]:
                    for one in ready:
                        data = one.recv(1 << 16)
                        if not data:
                            return
                        pair[one is self.request].sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


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


@asynccontextmanager
async def triton_at(
    *addresses: str,
    budget: TokenBudget | None = None,
    chunk: int = 4096,
    access: Access | None = None,
) -> AsyncIterator[Triton]:
    """The frontend's own way to Tritons, without its frontend."""
    if budget is None:
        budget = TokenBudget(1 << 20)
        budget.limit.tokens = 1 << 20  # all at once, however long it takes
    triton = Triton(
        list(addresses), budget=budget, max_chunk_tokens=chunk, access=access or Access()
    )
    try:
        yield triton
    finally:
        await triton.close()


@asynccontextmanager
async def inference(
    *addresses: str, budget: TokenBudget | None = None, chunk: int = 4096
) -> AsyncIterator[VersionInference]:
    """The same, for version 1."""
    async with triton_at(*addresses, budget=budget, chunk=chunk) as triton:
        yield VersionInference(triton, "1", LIMITS)


def make_windows(seed: int, lengths: list[int]) -> PackedWindows:
    """Windows of any tokens."""
    random = np.random.default_rng(seed)
    total = sum(lengths)
    return PackedWindows(
        input_ids=random.integers(1000, 30000, total).astype(np.int32),
        token_type_ids=np.concatenate([np.arange(n) >= 12 for n in lengths]).astype(np.int32),
        window_lengths=np.array(lengths, dtype=np.int32),
    )
