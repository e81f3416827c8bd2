"""The log of a real server: what a call leaves in it, and what never gets there."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import RunningServer, running_server, wait_until_serving

SECRET = "Zanzibar"
PREFIX = "/spanqa.v1.QuestionAnsweringService/"
GOOD = pb.AnswerRequest(question=f"Who is in {SECRET}?", context=f"It was Ada of {SECRET}.")
BAD = [
    pb.AnswerRequest(question=SECRET),
    pb.AnswerRequest(question=f"{SECRET} " * 500, context=SECRET),
    pb.AnswerRequest(question=SECRET, context=f"{SECRET} " * 200_000),
    pb.AnswerRequest(question=SECRET, context=SECRET, options=pb.AnswerOptions(top_k=-1)),
]


@pytest.fixture(scope="module")
def server(
    tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("logs") / "server.log"
    arguments = ("--log-level", "DEBUG", "--log-format", "json", "--default-timeout", "2")
    with running_server(tiny_repository, log, *arguments) as running:
        yield running


def ended(server: RunningServer) -> list[dict[str, Any]]:
    """The lines of calls that ended; every line is an object."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message", "process"} <= {*line} for line in lines)
    return [line for line in lines if "method" in line]


def fail(method: Any, request: Any, timeout: float | None = 10) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        method(request, timeout=timeout)
    return raised.value.code()


def test_a_call_is_a_line_without_its_texts(server: RunningServer) -> None:
    before = len(ended(server))
    codes = []
    with grpc.insecure_channel(server.target) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        stub.Answer(GOOD, timeout=10)
        codes += [fail(stub.Answer, request).name for request in BAD]
        entries = [pb.StreamAnswerRequest(id=SECRET, request=one) for one in (GOOD, GOOD, *BAD)]
        assert len(list(stub.StreamAnswer(iter(entries), timeout=30))) == len(entries)
        stub.BatchAnswer(pb.BatchAnswerRequest(requests=[GOOD, *BAD]), timeout=30)
        documents = [pb.Document(id=SECRET, text=GOOD.context)]
        asked = pb.AnswerFromDocumentsRequest(question=GOOD.question, documents=documents)
        stub.AnswerFromDocuments(asked, timeout=10)
        stub.ComputeLogits(pb.ComputeLogitsRequest(question="Who?", context=SECRET), timeout=10)
        raw: Any = channel.unary_unary(PREFIX + "Answer")
        codes.append(fail(raw, b"\x0a\xff" + SECRET.encode()).name)
    server.wait_for_metrics(lambda _: len(ended(server)) >= before + 10)
    lines = ended(server)[before:]
    assert [line["method"] for line in lines] == [
        *["Answer"] * 5,
        *("StreamAnswer", "BatchAnswer", "AnswerFromDocuments", "ComputeLogits", "Answer"),
    ]
    assert codes == [*["INVALID_ARGUMENT"] * 5]
    assert [line["code"] for line in lines[1:5]] == codes[:4]
    assert all(line["milliseconds"] > 0 and line["level"] == "DEBUG" for line in lines)
    assert SECRET not in server.log.read_text()


def test_nor_do_calls_that_fail_leave_them(server: RunningServer) -> None:
    stopped = server.triton()
    with grpc.insecure_channel(server.target) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        stopped.send_signal(signal.SIGSTOP)
        assert fail(stub.Answer, GOOD, None) is grpc.StatusCode.DEADLINE_EXCEEDED
        pending = [stub.Answer.future(GOOD, timeout=10) for _ in range(3)]
        over = threading.Semaphore(0)
        for call in pending[1:]:
            call.add_done_callback(lambda _: over.release())
        server.wait_for_metrics(lambda now: now["spanqa_triton_tokens_in_flight"] > 0)
        pending[0].cancel()
        stopped.kill()
        assert all(over.acquire(timeout=20) for _ in pending[1:])
        assert {call.code() for call in pending[1:]} == {grpc.StatusCode.UNAVAILABLE}
    wait_until_serving(server)
    codes = {line["code"] for line in ended(server)}
    assert codes >= {"OK", "DEADLINE_EXCEEDED", "CANCELLED", "UNAVAILABLE"}
    assert "Zanzibar" not in server.log.read_text()
    assert "Traceback" not in server.log.read_text()
