"""The whole service: a `spanqa-server` process, its embedded Triton, callers over gRPC.

The product's Python backend runs on a CPU only, so the version that is served here has
`triton_model.py` in its place, which moves the same module to CUDA.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common.shapes import BERT_LARGE, SMALL
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.options import Deadline, MissingError, Row

if TYPE_CHECKING:
    from benchmarks.common.report import Measured
    from benchmarks.service.contenders import Contender
    from spanqa.v1 import question_answering_pb2 as pb

PACKAGES = (
    *("grpc", "grpc_health", "psutil", "pytriton", "tokenizers", "transformers", "tritonclient"),
    *("huggingface_hub", "peft", "pydantic_settings", "safetensors"),
)
BACKEND = Path(__file__).with_name("triton_model.py")
MADE_UP_QUESTIONS = 64


def service(bench: Bench, deadline: Deadline) -> Iterator[Row]:
    """Questions a second and latencies by the number of callers, on the exported version."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingError(f"not installed here: {', '.join(missing)}; `make setup` installs all")
    from benchmarks.service.contenders import service as running_service
    from support.processes import BIN

    if not (BIN / "spanqa-server").is_file():
        raise MissingError(f"there is no {BIN / 'spanqa-server'}; `make setup` installs it")
    concurrencies = (1, 4) if bench.small else (1, 8, 32, 128)
    requests = questions(bench)
    with tempfile.TemporaryDirectory(prefix="spanqa-gpu-") as directory:
        version = export_version(bench, Path(directory))
        with running_service(version.parents[1]) as contender:
            contender.answer(requests[:32], 8)
            for left, callers in zip(range(len(concurrencies), 0, -1), concurrencies, strict=True):
                measured = ask(contender, requests, callers, deadline.share(left))
                ran_on = (version / "ran_on.txt").read_text()
                yield {"callers": callers, "model_on": ran_on, **figures(measured)}


def export_version(bench: Bench, directory: Path) -> Path:
    """A version with random weights in the bench's dtype, and the backend that knows CUDA."""
    from benchmarks.common.models import bert_large, link_configurations
    from spanqa_model.export import Target, export

    source = bert_large(directory / "checkpoint", SMALL if bench.small else BERT_LARGE)
    target = Target(
        dtype="float16" if bench.dtype == "float16" else "float32",
        device="cuda",
        attention="grouped",
    )
    version = export(source, directory / "repository", target, version=1).directory
    link_configurations(version.parent)
    # Bytecode of the product's would be run in place of the new one: it is never checked.
    shutil.rmtree(version / "__pycache__", ignore_errors=True)
    shutil.move(version / "model.py", version / "product_model.py")
    shutil.copyfile(BACKEND, version / "model.py")
    return version


def questions(bench: Bench) -> list[pb.AnswerRequest]:
    """SQuAD's, or made-up words of about their length."""
    from benchmarks.common.workload import squad_mix
    from spanqa.v1 import question_answering_pb2 as pb

    if bench.options.data.is_file():
        return squad_mix(bench.options.data, 64 if bench.small else 2000)
    return [
        pb.AnswerRequest(
            question=f"What is said of number {number}?",
            context=f"Of number {number} it is said that it is what it is. " * 10,
        )
        for number in range(MADE_UP_QUESTIONS)
    ]


def ask(
    contender: Contender, requests: list[pb.AnswerRequest], callers: int, seconds: float
) -> Measured:
    """Find out the rate, then ask for about two thirds of the time that is left."""
    trial = [requests[at % len(requests)] for at in range(2 * callers)]
    tried = contender.answer(trial, callers)
    count = int(len(trial) / tried.wall * max(0.0, seconds - tried.wall) * 2 / 3)
    count = max(2 * callers, min(count, 20_000))
    return contender.answer([requests[at % len(requests)] for at in range(count)], callers)


def figures(measured: Measured) -> Row:
    from benchmarks.common.report import percentile

    latencies = sorted(measured.latencies)
    return {
        "questions_per_second": measured.requests / measured.wall,
        "windows_per_second": measured.windows / measured.wall,
        "p50_ms": percentile(latencies, 50) * 1e3,
        "p99_ms": percentile(latencies, 99) * 1e3,
        "questions": measured.requests,
        "server_cores_busy": measured.cpu / measured.wall,
    }
