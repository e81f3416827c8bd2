"""What a queue policy in Triton's configuration does to bursts of requests.

`.venv/bin/python benchmarks/triton_queue.py`. The embedded configuration as it is, and with each
kind of queue policy; bursts of 3 and of 8 short questions one after the other, then 8 steady
callers. Printed are the bursts whose slowest request was at Triton for more than 300 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from spanqa.v1 import question_answering_pb2 as pb  # noqa: E402
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub  # noqa: E402
from support.processes import running_server  # noqa: E402

POLICIES = {
    "as it is": "",
    "priority levels": "priority_levels: 2 default_priority_level: 1",
    "queue limit": "default_queue_policy { max_queue_size: 1024 }",
    "timeouts": "default_queue_policy { default_timeout_microseconds: 600000000 "
    "allow_timeout_override: true }",
}
REQUEST = pb.AnswerRequest(
    question="Where was she born?", context="She was born in Warsaw. She moved to Paris."
)
SLOW_SECONDS = 0.3
STEADY_REQUESTS = 600


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bursts", type=int, default=60)
    bursts = parser.parse_args().bursts
    for name, policy in POLICIES.items():
        with tempfile.TemporaryDirectory() as directory:
            repository = Path(directory) / "repository"
            shutil.copytree(ROOT / "model_repository", repository)
            config = repository / "bert_qa" / "configs" / "embedded.pbtxt"
            text = config.read_text()
            config.write_text(text.replace("dynamic_batching {", f"dynamic_batching {{ {policy}"))
            with running_server(repository, Path(directory) / "log") as server:
                print(f"{name}: {asyncio.run(measure(server.target, bursts))}")


async def measure(target: str, bursts: int) -> str:
    async with grpc.aio.insecure_channel(target) as channel:
        stub: Any = QuestionAnsweringServiceStub(channel)
        for _ in range(50):
            await stub.Answer(REQUEST)
        parts = []
        for size in (3, 8):
            slowest = [await burst(stub, size) for _ in range(bursts)]
            slow = sum(seconds > SLOW_SECONDS for seconds in slowest)
            parts.append(f"{slow} of {bursts} bursts of {size} slow")
        begin, left = perf_counter(), iter(range(STEADY_REQUESTS))

        async def caller() -> None:
            for _ in left:
                await stub.Answer(REQUEST)

        await asyncio.gather(*(caller() for _ in range(8)))
        rate = STEADY_REQUESTS / (perf_counter() - begin)
        return ", ".join(parts) + f"; 8 callers {rate:.0f}/s"


async def burst(stub: Any, size: int) -> float:
    """The longest that a request of the burst was at Triton, in seconds."""
    responses = await asyncio.gather(*(stub.Answer(REQUEST, timeout=30) for _ in range(size)))
    return max(float(one.timing.infer.ToNanoseconds() / 1e9) for one in responses)


if __name__ == "__main__":
    main()
