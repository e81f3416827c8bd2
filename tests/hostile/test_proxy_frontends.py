"""Frontends come and go behind the shipped proxy, and no call fails."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import RunningServer, poll, running_server
from support.proxy import RunningProxy, running_proxy
from support.triton import address_of

REQUEST = pb.AnswerRequest(question="Where was she born?", context="She was born in Warsaw.")
CALLERS = 4


class Callers:
    """They never pause, and never ask twice."""

    def __init__(self, proxy: RunningProxy) -> None:
        self.found: Counter[str] = Counter()
        self._proxy = proxy
        self._stop = threading.Event()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        with self._proxy.channel() as channel:
            stub = QuestionAnsweringServiceStub(channel)
            while not self._stop.is_set():
                try:
                    stub.Answer(REQUEST, timeout=20)
                    self.found["OK"] += 1
                except grpc.RpcError as error:
                    self.found[f"{error.code().name}: {error.details()}"] += 1

    def ask(self, more: int) -> None:
        """Wait until so many more calls have ended."""
        wanted = self.found.total() + more
        poll(lambda: self.found.total() >= wanted, 60, f"{more} calls")


@pytest.fixture
def frontends(
    server: RunningServer, model_repository: Path, tmp_path: Path
) -> Iterator[list[RunningServer]]:
    """Two that drain as they do by default, and ask for new connections all the time."""
    flags = ("--triton", address_of(server), "--drain-seconds", "2", "--max-connection-age", "1")
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(running_server(model_repository, tmp_path / str(number), *flags))
            for number in range(2)
        ]


def answered(frontend: RunningServer) -> float:
    return frontend.metrics().get('spanqa_calls_total{code="OK",method="Answer"}', 0)


def test_no_call_fails_when_a_frontend_leaves(
    frontends: list[RunningServer], tmp_path: Path
) -> None:
    (tmp_path / "proxy").mkdir()
    leaves, stays = frontends
    with running_proxy(tmp_path / "proxy", *(one.target for one in frontends)) as proxy:
        callers = Callers(proxy)
        with callers.running():
            opened = proxy.count("envoy_cluster_upstream_cx_total", '"frontends"')
            callers.ask(200)
            poll(lambda: answered(leaves) > 0 and answered(stays) > 0, 20, "answers of both")
            poll(
                lambda: proxy.count("envoy_cluster_upstream_cx_total", '"frontends"') > opened + 8,
                30,
                "new connections",
            )
            assert leaves.stop() == 0
            assert proxy.healthy == 1
            callers.ask(200)
    assert set(callers.found) == {"OK"}, callers.found


def test_with_no_frontend_the_last_one_says_why(
    server: RunningServer, model_repository: Path, tmp_path: Path
) -> None:
    """A frontend without a Triton is NOT_SERVING: its own error is passed on."""
    absent = ("--triton", "127.0.0.1:9")
    (tmp_path / "proxy").mkdir()
    with (
        running_server(model_repository, tmp_path / "log", *absent, wait=False) as frontend,
        running_proxy(tmp_path / "proxy", frontend.target, healthy=0) as proxy,
        proxy.channel() as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        poll(lambda: "spanqa.v1" in details(stub), 60, "the frontend's own error")


def details(stub: QuestionAnsweringServiceStub) -> str:
    """What the trailing metadata of a failed call hold."""
    with pytest.raises(grpc.RpcError) as raised:
        stub.Answer(REQUEST, timeout=20)
    assert raised.value.code().name == "UNAVAILABLE"
    return str(raised.value.trailing_metadata())
