"""What long documents do to short questions, and to the server's memory.

`.venv/bin/python benchmarks/interference.py`. Short SQuAD questions are asked all the time by a few
callers: first alone, then while one document of 1 MB is answered, then while ten are.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from spanqa.squad import read_questions  # noqa: E402
from spanqa.v1 import question_answering_pb2 as pb  # noqa: E402
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub  # noqa: E402
from support.processes import RunningServer, running_server  # noqa: E402
from workload import add_data_option, squad_mix  # noqa: E402

TIMEOUT = 1200.0
MEGABYTE = 1_000_000


@dataclass(slots=True)
class Short:
    """Seconds of short questions, one caller's after the other's."""

    seconds: list[float] = field(default_factory=list)
    stop: bool = False

    def told(self) -> str:
        ordered = sorted(self.seconds)
        p50, p99 = (ordered[len(ordered) * share // 100] * 1e3 for share in (50, 99))
        return f"{len(ordered)} short questions, p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=20.0, help="of short questions alone")
    parser.add_argument("--callers", type=int, default=2)
    parser.add_argument("--documents", type=int, default=10)
    parser.add_argument("--chunk", type=int, help="--max-chunk-tokens of the server")
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    arguments = parser.parse_args()
    flags = ["--max-chunk-tokens", str(arguments.chunk)] if arguments.chunk else []
    with (
        tempfile.TemporaryDirectory() as directory,
        running_server(arguments.repository, Path(directory) / "log", *flags) as server,
    ):
        asyncio.run(measure(arguments, server))


async def measure(arguments: argparse.Namespace, server: RunningServer) -> None:
    requests = squad_mix(arguments.data, 500)
    documents = long_documents(arguments.data, arguments.documents)
    processes = [psutil.Process(server.process.pid), *server.children()]
    async with grpc.aio.insecure_channel(server.target) as channel:
        stub: Any = QuestionAnsweringServiceStub(channel)
        for request in requests[:50]:
            await stub.Answer(request)
        for count in (0, 1, arguments.documents):
            begin, short = perf_counter(), Short()
            async with asyncio.TaskGroup() as group:
                for caller in range(arguments.callers):
                    group.create_task(ask(stub, requests[caller :: arguments.callers], short))
                long = [stub.Answer(one, timeout=TIMEOUT) for one in documents[:count]]
                peak = await watch(processes, long, arguments.seconds)
                short.stop = True
            took = perf_counter() - begin
            windows = sum([(await call).usage.windows for call in long])
            print(
                f"{count} documents of 1 MB, {windows} windows, {took:.1f} s: {short.told()}; "
                f"peak MB of frontend, Triton, model: {peak}"
            )


async def ask(stub: Any, requests: list[pb.AnswerRequest], short: Short) -> None:
    while True:
        for request in requests:
            if short.stop:
                return
            begin = perf_counter()
            await stub.Answer(request, timeout=TIMEOUT)
            short.seconds.append(perf_counter() - begin)


async def watch(processes: list[psutil.Process], long: list[Any], seconds: float) -> list[int]:
    """The peak memory of each process until the long calls are done, or for some seconds."""
    peak = [0] * len(processes)
    end = perf_counter() + (0 if long else seconds)
    while perf_counter() < end or not all(call.done() for call in long):
        now = [memory(process) for process in processes]
        peak = [max(pair) for pair in zip(peak, now, strict=True)]
        await asyncio.sleep(0.2)
    return peak


def memory(process: psutil.Process) -> int:
    """Megabytes; none of a process that has ended, as those that start others do."""
    try:
        return process.memory_info().rss >> 20
    except psutil.NoSuchProcess:
        return 0


def long_documents(data: Path, count: int) -> list[pb.AnswerRequest]:
    """Documents of 1 MB, each another order of the SQuAD paragraphs, and a question to each."""
    questions = read_questions(data)
    contexts = list(dict.fromkeys(question.context for question in questions))
    documents = []
    for number in range(count):
        text = "\n".join(contexts[number * 97 :] + contexts[: number * 97])
        text = text.encode()[:MEGABYTE].decode(errors="ignore")
        documents.append(pb.AnswerRequest(question=questions[number].question, context=text))
    return documents


if __name__ == "__main__":
    main()
