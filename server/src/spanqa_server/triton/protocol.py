"""Triton's protocol (KServe v2): windows as a request, a response as logits, statuses as errors."""

import re

import grpc
import numpy as np
from tritonclient.grpc import service_pb2

from spanqa_server.errors import (
    DeadlineError,
    InferenceError,
    ModelUnavailableError,
    OverloadedError,
    ServerError,
    VersionGoneError,
)
from spanqa_server.qa.windows import PackedWindows

INPUTS = ("input_ids", "token_type_ids", "window_lengths")
OUTPUTS = ("start_logits__0", "end_logits__1")
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.CANCELLED)
# Of a message of Triton's; the rest is in its own log.
MOST_CHARACTERS = 300
RAISED = re.compile(r"(builtins\.|torch\.jit\.)?\w*(Error|Exception): ")
FloatArray = np.ndarray[tuple[int], np.dtype[np.float32]]


def build_request(
    model_name: str, version: str, packed: PackedWindows
) -> service_pb2.ModelInferRequest:
    """The tensors of `PackedWindows`, INT32 [1, T], [1, T] and [1, W], as one request."""
    arrays = (packed.input_ids, packed.token_type_ids, packed.window_lengths)
    request = service_pb2.ModelInferRequest(
        model_name=model_name,
        model_version=version,
        raw_input_contents=[array.tobytes() for array in arrays],
    )
    for name, array in zip(INPUTS, arrays, strict=True):
        request.inputs.add(name=name, datatype="INT32", shape=(1, len(array)))
    return request


def read_logits(response: service_pb2.ModelInferResponse, tokens: int) -> tuple[FloatArray, ...]:
    """Start and end logits, float32 [tokens] each.

    Raises:
        InferenceError: they are missing, of another size, or not finite.
    """
    contents = {
        output.name: raw
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=False)
    }
    logits = []
    for name in OUTPUTS:
        raw = contents.get(name, b"")
        if len(raw) != 4 * tokens:
            problem = f"the model returned {len(raw)} bytes for {name}, not {4 * tokens}"
            raise InferenceError(problem)
        values = np.frombuffer(raw, dtype=np.float32)
        if not np.isfinite(values).all():
            raise InferenceError(f"the model returned {name} that contain NaN or infinity")
        logits.append(values)
    return tuple(logits)


def map_error(error: grpc.aio.AioRpcError) -> ServerError:
    """What a status of Triton's means to a caller: UNAVAILABLE alone is several things."""
    details = gist(error.details() or "")
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or "timeout expired" in details:
        return DeadlineError("the model did not answer in time")
    if "maximum queue size" in details:
        return OverloadedError("the model's queue is full; try again later")
    if "unknown model" in details:
        return VersionGoneError(f"the model version is not loaded now ({details})")
    if code in AWAY:
        return ModelUnavailableError(f"the model cannot be reached now ({details})")
    return InferenceError(f"the model failed ({details})")


def gist(text: str) -> str:
    """Triton's message as one line: its first, and what TorchScript raised, without the stack."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()] or [""]
    raised = [line for line in lines[1:] if RAISED.match(line)]
    line = " … ".join([lines[0], *raised[-1:]])
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}…"
