"""Something that speaks Triton's protocol and gives logits without computing any.

It stands behind the frontend where the frontend's own cost is measured. Logits are cut from one
buffer of normal values, so that the decoder has spans to compare.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from benchmarks import ROOT
from benchmarks.frontend.stages import logits_of
from support.processes import free_port

SERVICE = "inference.GRPCInferenceService"


def handlers() -> grpc.GenericRpcHandler:
    """The two methods that the frontend calls."""
    ready = service_pb2.ModelReadyResponse(ready=True)

    async def model_ready(request: Any, context: Any) -> Any:
        return ready

    async def infer(request: Any, context: Any) -> Any:
        return logits_of(len(request.raw_input_contents[0]) // 4)  # INT32

    methods = {
        "ModelReady": (model_ready, service_pb2.ModelReadyRequest),
        "ModelInfer": (infer, service_pb2.ModelInferRequest),
    }
    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                behaviour,
                request_deserializer=request.FromString,
                response_serializer=lambda response: response.SerializeToString(),
            )
            for name, (behaviour, request) in methods.items()
        },
    )


@contextlib.contextmanager
def running_no_cost_triton() -> Iterator[str]:
    """Its address, while it runs as a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.frontend.no_cost_triton", str(port)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()


async def serve(port: int) -> None:
    """Serve until killed."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((handlers(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
