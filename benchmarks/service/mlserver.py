"""MLServer with its Hugging Face runtime, in an environment of its own: `make bench-mlserver`.

It runs the question-answering pipeline of `transformers` behind the Open Inference Protocol over
gRPC, as its documentation has it: one worker, no batches, float32 (the pipeline of that
`transformers` fails in bfloat16). Its windows are ours (384 tokens, 128 shared), since the pipeline
has the same defaults.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

import grpc
import psutil
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks import ROOT
from benchmarks.common.asking import TIMEOUT_SECONDS, call_all, cpu_seconds
from benchmarks.common.report import Measured
from spanqa.v1 import question_answering_pb2 as pb
from support.processes import free_port

PROGRAM = ROOT / ".cache" / "mlserver" / "bin" / "mlserver"
MODEL = "question-answering"
START_SECONDS = 120.0
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


def installed() -> bool:
    """Whether `make bench-mlserver` has run."""
    return PROGRAM.is_file()


class MLServer:
    """A running MLServer, asked over gRPC."""

    def __init__(self, process: subprocess.Popen[bytes], target: str) -> None:
        self._process = psutil.Process(process.pid)
        self._target = target

    def answer(self, requests: list[pb.AnswerRequest], concurrency: int) -> Measured:
        processes = [self._process, *self._process.children(recursive=True)]
        before, begin = cpu_seconds(processes), perf_counter()
        latencies = asyncio.run(self._ask([infer_request(one) for one in requests], concurrency))
        wall = perf_counter() - begin
        return Measured(len(requests), 0, wall, cpu_seconds(processes) - before, latencies)

    async def _ask(self, requests: list[Any], concurrency: int) -> list[float]:
        async with grpc.aio.insecure_channel(self._target, OPTIONS) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

            async def call(request: Any) -> str:
                return answer_of(await stub.ModelInfer(request, timeout=TIMEOUT_SECONDS))

            done = await call_all(requests, [call] * concurrency)
        return [seconds for _, seconds in done]


@contextmanager
def mlserver(checkpoint: Path) -> Iterator[MLServer]:
    """Serve a checkpoint in float32; at the end all processes are gone."""
    with tempfile.TemporaryDirectory(prefix="spanqa-mlserver-") as name:
        directory, port = Path(name), free_port()
        write_settings(directory, checkpoint, port)
        log = directory / "log"
        command = [str(PROGRAM), "start", str(directory)]
        alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=directory, env=alone, stdout=output, stderr=output
            )
        everything = [psutil.Process(process.pid)]
        try:
            wait_until_ready(process, f"127.0.0.1:{port}", log)
            everything += everything[0].children(recursive=True)
            yield MLServer(process, f"127.0.0.1:{port}")
        finally:
            process.terminate()
            for left in psutil.wait_procs(everything, timeout=15)[1]:
                left.kill()
            process.wait()


def write_settings(directory: Path, checkpoint: Path, port: int) -> None:
    """MLServer's files: the server's settings, and the model's in a directory of its own."""
    ports = {"grpc_port": port, "http_port": free_port(), "metrics_port": free_port()}
    server = {"host": "127.0.0.1", "debug": False, **ports}
    (directory / "settings.json").write_text(json.dumps(server))
    extra = {"task": MODEL, "pretrained_model": str(checkpoint), "framework": "pt"}
    model = {
        "name": MODEL,
        "implementation": "mlserver_huggingface.HuggingFaceRuntime",
        "parameters": {"extra": extra},
    }
    (directory / MODEL).mkdir()
    (directory / MODEL / "model-settings.json").write_text(json.dumps(model))


def wait_until_ready(process: subprocess.Popen[bytes], target: str, log: Path) -> None:
    """Until it says that the model is ready."""
    give_up = monotonic() + START_SECONDS
    request = service_pb2.ModelReadyRequest(name=MODEL)
    with grpc.insecure_channel(target) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        while monotonic() < give_up and process.poll() is None:
            try:
                if stub.ModelReady(request, wait_for_ready=True, timeout=1.0).ready:
                    return
            except grpc.RpcError:
                pass
            sleep(0.1)
    raise SystemExit(f"MLServer did not start; its log ends: {log.read_text()[-2000:]}")


def infer_request(request: pb.AnswerRequest) -> Any:
    """The pipeline's arguments as tensors of one string each."""
    made = service_pb2.ModelInferRequest(model_name=MODEL)
    for name, text in (("question", request.question), ("context", request.context)):
        tensor = made.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(text.encode())
    return made


def answer_of(response: Any) -> str:
    """The text of the answer, which is JSON in a tensor of bytes after its length."""
    (output,), raw = response.outputs, response.raw_output_contents
    content = raw[0][4:] if raw else output.contents.bytes_contents[0]
    return str(json.loads(content)["answer"])
