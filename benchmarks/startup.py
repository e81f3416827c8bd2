"""From the start of a server to its first answer, and how the first hundred requests fare.

`.venv/bin/python benchmarks/startup.py`. A TorchScript that still optimizes, or an allocator that
still grows, would show as a cliff among the first requests.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import grpc

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests")]

from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub  # noqa: E402
from support.processes import running_server  # noqa: E402
from workload import add_data_option, squad_mix  # noqa: E402


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_data_option(parser)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--repository", type=Path, default=ROOT / "model_repository")
    arguments = parser.parse_args()
    requests = squad_mix(arguments.data, 200)
    for _ in range(arguments.starts):
        begin = perf_counter()
        with (
            tempfile.TemporaryDirectory() as directory,
            running_server(arguments.repository, Path(directory) / "log") as server,
            grpc.insecure_channel(server.target) as channel,
        ):
            stub = QuestionAnsweringServiceStub(channel)
            seconds = []
            for request in requests:
                asked = perf_counter()
                stub.Answer(request, timeout=60)
                seconds.append(perf_counter() - asked)
                if len(seconds) == 1:
                    ready = perf_counter() - begin
        first, later = seconds[:100], seconds[100:]
        print(
            f"first answer {ready:.1f} s after the start; requests 1 to 100: median "
            f"{statistics.median(first) * 1e3:.0f} ms, slowest {max(first) * 1e3:.0f} ms; "
            f"101 to 200: {statistics.median(later) * 1e3:.0f} and {max(later) * 1e3:.0f} ms"
        )


if __name__ == "__main__":
    main()
