"""Several worker processes on one port."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import RunningServer, run_serve, running_server

QUESTION = pb.AnswerRequest(question="Who?", context="It was Ada.")


@pytest.fixture(scope="module")
def server(
    tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    log = tmp_path_factory.mktemp("workers") / "server.log"
    with running_server(tiny_repository, log, "--workers", "2") as running:
        wait_for_workers(running, 2)
        yield running


def workers(server: RunningServer) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(server.process.pid).children()
        if "spanqa_server.workers.child" in child.cmdline()
    ]


def wait_for_workers(server: RunningServer, count: int) -> None:
    """Wait until so many serve a version."""
    server.wait_for_metrics(lambda _: server.log.read_text().count(" serving ") >= count)


def connections(server: RunningServer, count: int) -> contextlib.ExitStack:
    """Channels, each with a connection of its own, that answer."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            own = [("grpc.use_local_subchannel_pool", 1)]
            channel = stack.enter_context(grpc.insecure_channel(server.target, own))
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
    victim, survivor = workers(server)
    served = server.log.read_text().count(" serving ")
    ended = server.metrics()["spanqa_worker_ends_total"]
    victim.kill()
    victim.wait(5)
    with connections(server, 8):
        assert established(survivor, server) >= 8
    wait_for_workers(server, served + 1)
    assert server.metrics()["spanqa_worker_ends_total"] == ended + 1
    with connections(server, 16):
        assert all(established(worker, server) for worker in workers(server)), "it has joined"
    assert len(workers(server)) == 2


def established(worker: psutil.Process, server: RunningServer) -> int:
    """Connections of callers that the worker has."""
    return sum(
        one.laddr.port == port(server) and one.status == psutil.CONN_ESTABLISHED
        for one in worker.net_connections("tcp")
    )


def port(server: RunningServer) -> int:
    return int(server.target.rpartition(":")[2])


def test_a_port_in_use_is_named(server: RunningServer, tiny_repository: Path) -> None:
    done = run_serve(tiny_repository, "--port", str(port(server)), "--workers", "2")
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port(server)}" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_version_is_told_once(tmp_path: Path) -> None:
    done = run_serve(tmp_path, "--port", "0", "--workers", "2")
    assert done.returncode == 1
    assert done.stderr.count("no model version in") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all(tiny_repository: Path, tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tiny_repository, tmp_path / "log", "--workers", "2") as server:
        children = server.children()
        assert len(children) >= 4
        assert server.stop(number) == 0
        assert psutil.wait_procs(children, timeout=5)[1] == []
        assert "Traceback" not in server.log.read_text()


def test_workers_and_triton_end_with_a_killed_parent(tiny_repository: Path, tmp_path: Path) -> None:
    with running_server(tiny_repository, tmp_path / "log", "--workers", "2") as server:
        children = server.children()
        os.kill(server.process.pid, signal.SIGKILL)
        assert psutil.wait_procs(children, timeout=10)[1] == []
