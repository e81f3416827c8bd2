"""Something that speaks Triton's protocol and gives logits without computing any.

It stands behind the frontend where the frontend's own cost is measured:
`python benchmarks/no_cost_triton.py PORT`. Logits are cut from one buffer of normal values, so
that the decoder has spans to compare.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

BUFFER_TOKENS = 1 << 20
SERVICE = "inference.GRPCInferenceService"
OUTPUTS = ("start_logits__0", "end_logits__1")


def handlers() -> grpc.GenericRpcHandler:
    """The two methods that the frontend calls."""
    random = np.random.default_rng(0)
    starts, ends = (
        random.normal(0, 3, BUFFER_TOKENS).astype(np.float32).tobytes() for _ in OUTPUTS
    )
    ready = service_pb2.ModelReadyResponse(ready=True)

    async def model_ready(request: Any, context: Any) -> Any:
        return ready

    async def infer(request: Any, context: Any) -> Any:
        size = len(request.raw_input_contents[0])  # INT32 in, FP32 out
        response = service_pb2.ModelInferResponse(
            model_name=request.model_name,
            model_version=request.model_version,
            raw_output_contents=(starts[:size], ends[:size]),
        )
        for name in OUTPUTS:
            response.outputs.add(name=name, datatype="FP32", shape=(1, size // 4))
        return response

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


async def serve(port: int) -> None:
    """Serve until killed."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((handlers(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
