"""Several worker processes on one port."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import RunningServer, open_channel, running_server, wait_for_workers

QUESTION = pb.AnswerRequest(question="Who?", context="It was Ada.")


@pytest.fixture(scope="module")
def server(
    tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("workers") / "server.log"
    with running_server(tiny_repository, log, "--workers", "2") as running:
        yield running


def connections(server: RunningServer, count: int) -> contextlib.ExitStack:
    """Channels, each with a connection of its own, that answer."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            channel = stack.enter_context(open_channel(server.target, None))
            stub = QuestionAnsweringServiceStub(channel)
            for _ in range(3):
                stub.Answer(QUESTION, timeout=10)
        return stack.pop_all()
    raise AssertionError


def calls(server: RunningServer) -> list[float]:
    return [value for name, value in server.metrics().items() if "worker_calls{" in name]


def test_each_takes_its_share_of_the_connections(server: RunningServer) -> None:
    before = sum(calls(server))
    with connections(server, 16):
        pass
    server.wait_for_metrics(lambda _: sum(calls(server)) == before + 48)
    shares = calls(server)
    assert len(shares) == 2
    assert all(shares), "the kernel spreads 16 connections by a hash"
    assert server.metrics()['spanqa_calls_total{code="OK",method="Answer"}'] == before + 48


def test_the_port_of_a_killed_worker_is_the_others_at_once(server: RunningServer) -> None:
    victim, survivor = server.workers()
    served = server.log.read_text().count(" serving ")
    ended = server.metrics()["spanqa_worker_ends_total"]
    victim.kill()
    victim.wait(5)
    with connections(server, 8):
        assert established(survivor, server) >= 8
    wait_for_workers(server, served + 1)
    assert server.metrics()["spanqa_worker_ends_total"] == ended + 1
    with connections(server, 16):
        assert all(established(worker, server) for worker in server.workers()), "it has joined"
    assert len(server.workers()) == 2


def established(worker: psutil.Process, server: RunningServer) -> int:
    """Connections of callers that the worker has."""
    return sum(
        one.laddr.port == port(server) and one.status == psutil.CONN_ESTABLISHED
        for one in worker.net_connections("tcp")
    )


def port(server: RunningServer) -> int:
    return int(server.target.rpartition(":")[2])
