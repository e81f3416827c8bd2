"""Triton dies, hangs or is missing: callers get a clear status, and it comes back."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import absent, running_server, silent, stopped, wait_until_serving

REQUEST = pb.AnswerRequest(question="Where was she born?", context="She was born in Warsaw.")
# The deadline passes, or on a slow machine the connection is given up before.
LOST = {code.value[0] for code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)}
REFUSED = grpc.StatusCode.INVALID_ARGUMENT.value[0]
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def shared_memory(prefix: str) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{prefix}*"))


def failure(
    stub: QuestionAnsweringServiceStub, timeout: float, request: pb.AnswerRequest = REQUEST
) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        stub.Answer(request, timeout=timeout)
    return raised.value.code()


def test_triton_is_killed_and_comes_back(model_repository: Path, tmp_path: Path) -> None:
    with (
        running_server(model_repository, tmp_path / "log") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        # a cleaner of temporary directories must not stop the restart
        stub_program = next(c for c in server.children() if c.name().startswith("triton_python"))
        links = Path(stub_program.cmdline()[0]).parents[2]
        assert links.name.startswith("spanqa-triton-")
        shutil.rmtree(links)
        assert shared_memory(links.name)
        server.triton().kill()
        assert failure(stub, 10) is grpc.StatusCode.UNAVAILABLE
        assert next(watch).status == NOT_SERVING
        wait_until_serving(server, within=30)
        assert shared_memory(links.name) == []
        watch.cancel()
        assert stub.Answer(REQUEST, timeout=10).answers[0].text == "Warsaw"


def test_triton_hangs(model_repository: Path, tmp_path: Path) -> None:
    with (
        running_server(model_repository, tmp_path / "log", "--default-timeout", "0.5") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        stub.Answer(REQUEST, timeout=10)
        with stopped(server.triton()):
            pending = stub.Answer.future(REQUEST, timeout=20)
            server.wait_for_metrics(lambda now: now["spanqa_triton_tokens_in_flight"] == 14)
            pending.cancel()
            server.wait_until_idle()
            cancelled = 'spanqa_calls_total{code="CANCELLED",method="Answer"}'
            server.wait_for_metrics(lambda now: now.get(cancelled) == 1)
            assert failure(stub, 0.3) is grpc.StatusCode.DEADLINE_EXCEEDED
            with pytest.raises(grpc.RpcError) as raised:
                stub.Answer(REQUEST)  # no deadline of its own: the server's default
            assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "0.5 s" in (raised.value.details() or "")
            batch = stub.BatchAnswer(pb.BatchAnswerRequest(requests=[REQUEST, pb.AnswerRequest()]))
            first, second = (item.error.code for item in batch.items)
            assert (first in LOST, second) == (True, REFUSED)
            entry = pb.StreamAnswerRequest(id="1", request=REQUEST)
            [streamed] = stub.StreamAnswer(iter([entry]))
            assert streamed.error.code in LOST
        wait_until_serving(server, within=30)
        assert stub.Answer(REQUEST, timeout=10).answers[0].text == "Warsaw"


def test_no_call_is_held_longer_than_15_s_by_a_triton_that_hangs(
    model_repository: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    ended: list[float] = []
    with (
        running_server(model_repository, tmp_path / "log") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        stub.Answer(REQUEST, timeout=10)
        with stopped(server.triton()):
            begin = monotonic()
            calls = [stub.Answer.future(REQUEST, timeout=60) for _ in range(8)]
            for call in calls:
                call.add_done_callback(lambda _: ended.append(monotonic() - begin))
            codes = {call.code() for call in calls}
        wait_until_serving(server, within=30)
    say(f"calls ended after {min(ended):.1f} to {max(ended):.1f} s")
    assert codes == {grpc.StatusCode.UNAVAILABLE}
    assert max(ended) <= 15


@pytest.mark.parametrize(
    ("away", "timeout", "codes"),
    [(silent, 2, {"DEADLINE_EXCEEDED", "UNAVAILABLE"}), (absent, 10, {"UNAVAILABLE"})],
)
def test_triton_is_away(
    model_repository: Path,
    tmp_path: Path,
    away: Callable[[], AbstractContextManager[str]],
    timeout: float,
    codes: set[str],
) -> None:
    long_request = pb.AnswerRequest(question="Where?", context="She was born there. " * 3000)
    with (
        away() as address,
        running_server(
            model_repository, tmp_path / "log", "--triton", address, wait=False
        ) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        health, asked = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckRequest()
        assert health.Check(asked, wait_for_ready=True, timeout=30).status == NOT_SERVING
        stub = QuestionAnsweringServiceStub(channel)
        for request in (REQUEST, long_request):
            assert failure(stub, timeout, request).name in codes
        assert next(health.Watch(asked, timeout=30)).status == NOT_SERVING
