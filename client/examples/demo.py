"""Start a server, ask it questions about a text, check the answers, stop the server."""

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

import spanqa

TEXT = Path(__file__).with_name("lighthouse.txt")
START_SECONDS, STOP_SECONDS = 120, 15


@dataclass(frozen=True)
class Example:
    question: str
    expected: tuple[str, ...]  # the answer holds one of these


EXAMPLES = (
    Example("Which ship struck West Calf Island?", ("Stephen Whitney",)),
    Example("Who designed the first lighthouse?", ("George Halpin",)),
    Example("Where was the granite of the second tower quarried?", ("Cornwall",)),
    Example("On what day did the new light enter service?", ("27 June 1904",)),
    Example("How often does the light flash?", ("once every five seconds", "every five seconds")),
    Example("Which boat won the first Fastnet Race?", ("Jolie Brise",)),
)


async def main() -> int:
    """Return 0 if every answer is right and every process exited with 0."""
    context = TEXT.read_text(encoding="utf-8")
    begin = perf_counter()
    async with running_server() as target, spanqa.AsyncClient(target) as client:
        model = await client.model_info()
        print(f"{model.name} version {model.version} answers after {perf_counter() - begin:.1f} s")
        print(f"{TEXT.name}: {len(context)} characters\n")
        wrong = 0
        for example in EXAMPLES:
            result = await client.answer(example.question, context)
            wrong += not show(example, result, context)
    print(f"{len(EXAMPLES) - wrong} of {len(EXAMPLES)} answers are right; all processes ended")
    return 1 if wrong else 0


def show(example: Example, result: spanqa.AnswerResult, context: str) -> bool:
    """Print one answer; return whether it is right, and its offsets, too."""
    answer = result.best
    assert answer is not None
    right = (
        any(expected in answer.text for expected in example.expected)
        and context[answer.start : answer.end] == answer.text
    )
    print(f"  {example.question}")
    print(
        f"  {'✓' if right else '✗'} {answer.text}   [{answer.start}:{answer.end}]   "
        f"probability {answer.probability:.3f}   {result.usage.windows} windows, "
        f"{result.timing.total * 1000:.0f} ms\n"
    )
    return right


@contextlib.asynccontextmanager
async def running_server() -> AsyncIterator[str]:
    """A server on a free port that is ready; it is stopped with SIGTERM and must exit with 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = Path(sys.executable).with_name("spanqa-server")
    with tempfile.TemporaryFile() as log:
        server = await asyncio.create_subprocess_exec(
            *(command, "serve", "--host", "127.0.0.1", "--port", str(port)), stderr=log
        )
        interrupted = False
        try:
            await asyncio.wait_for(until_serving(f"127.0.0.1:{port}", server), START_SECONDS)
            yield f"127.0.0.1:{port}"
        except asyncio.CancelledError:  # Ctrl-C, which the server may have got as well
            interrupted = True
            raise
        finally:
            if server.returncode is None:
                server.send_signal(signal.SIGTERM)
            try:
                code = await asyncio.wait_for(server.wait(), STOP_SECONDS)
            except TimeoutError:
                server.kill()
                raise
            if code and not interrupted:
                log.seek(0)
                sys.exit(f"the server ended with exit code {code}:\n{log.read().decode()}")


async def until_serving(target: str, server: asyncio.subprocess.Process) -> None:
    """Wait until the health service says SERVING, or the server is gone."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while server.returncode is None:
            with contextlib.suppress(grpc.aio.AioRpcError):
                request = health_pb2.HealthCheckRequest()
                async for update in stub.Watch(request, wait_for_ready=True, timeout=1):
                    if update.status == health_pb2.HealthCheckResponse.SERVING:
                        return
    raise SystemExit(1)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
