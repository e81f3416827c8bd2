"""What the shipped proxy cuts off, and that others get their answers meanwhile."""

from __future__ import annotations

import contextlib
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic

import grpc
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.floods import beside, resets
from support.frames import ANSWER, frames, message
from support.processes import RunningServer, open_channel, poll
from support.proxy import RunningProxy, running_proxy

REQUEST = pb.AnswerRequest(
    question="Where was Curie born?", context="Marie Curie was born in Warsaw in 1867."
)
CALLS, TIMEOUT = 60, 5.0
STREAMS, CONNECTIONS = 100, 900


@pytest.fixture(scope="module")
def proxy(
    server: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    with running_proxy(tmp_path_factory.mktemp("proxy"), server.target) as running:
        yield running


@pytest.fixture
def neighbour(proxy: RunningProxy) -> Iterator[Neighbour]:
    with proxy.channel() as channel:
        yield Neighbour(channel)


class Neighbour:
    """A client with one call at a time."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = QuestionAnsweringServiceStub(channel)
        self.seconds: list[float] = []

    def ask(self, count: int) -> Counter[str]:
        """How so many calls end, and how long each takes."""
        found: Counter[str] = Counter()
        self.seconds = []
        for _ in range(count):
            begin = monotonic()
            try:
                self._stub.Answer(REQUEST, timeout=TIMEOUT)
                found["OK"] += 1
            except grpc.RpcError as error:
                found[error.code().name] += 1
            self.seconds.append(monotonic() - begin)
        return found

    def beside(self, target: str, ca: Path | None) -> str:
        """Ask alone, then beside a flood of resets; says what was measured."""
        assert self.ask(CALLS) == {"OK": CALLS}
        alone = median(self.seconds)
        with beside(partial(resets, ca=ca), target):
            found = self.ask(CALLS)
        assert found["OK"] >= 0.95 * CALLS
        quick = sum(one <= 5 * alone for one in self.seconds)
        middle = median(self.seconds)
        return f"{quick} of {CALLS} within 5 times {alone:.3f} s, the middle one {middle:.3f} s"


def test_a_flood_of_resets_is_cut_off(
    server: RunningServer, proxy: RunningProxy, neighbour: Neighbour, say: Callable[[str], None]
) -> None:
    with open_channel(server.target, None) as channel:
        say(f"beside a flood of resets, no proxy: {Neighbour(channel).beside(server.target, None)}")
    reached = calls_of(server)
    say(f"through the proxy: {neighbour.beside(proxy.target, proxy.ca)}")
    cut = proxy.count("envoy_http_downstream_rq_too_many_premature_resets", '"grpc"')
    sent = proxy.count("envoy_http_downstream_rq_total", '"grpc"') - 2 * CALLS
    came = calls_of(server) - reached - 2 * CALLS
    say(f"cut off {cut:.0f} times; of {sent:.0f} hostile calls {came:.0f} came to the frontend")
    assert cut > 0


def calls_of(server: RunningServer) -> float:
    """How many it has ended."""
    return sum(value for name, value in server.metrics().items() if "spanqa_calls_total" in name)


def test_calls_beyond_those_of_a_connection_are_refused(
    proxy: RunningProxy, neighbour: Neighbour
) -> None:
    with frames(proxy.target, 4, proxy.ca) as clients:
        opened = [[client.open(ANSWER) for _ in range(2 * STREAMS)] for client in clients]
        for client, numbers in zip(clients, opened, strict=True):
            client.send()
            assert client.wait(set(numbers[STREAMS:]), within=20)
            assert client.streams_allowed == STREAMS
            assert client.closed or not client.ended & set(numbers[:STREAMS])
        assert neighbour.ask(10) == {"OK": 10}


@pytest.mark.parametrize(
    "more",
    [[("x-long", "a" * 20_000)], [(f"x-{n}", "a") for n in range(100)], [("x_y", "a")]],
    ids=["long", "many", "underscores"],
)
def test_odd_headers_do_not_reach_a_frontend(
    more: list[tuple[str, str]], server: RunningServer, proxy: RunningProxy, neighbour: Neighbour
) -> None:
    before = proxy.count("envoy_cluster_upstream_rq_total", '"frontends"')
    with frames(proxy.target, 1, proxy.ca) as [client]:
        number = client.open(ANSWER, body=message(REQUEST.SerializeToString()), more=more)
        client.send()
        assert client.wait({number}, within=10)
    assert proxy.count("envoy_cluster_upstream_rq_total", '"frontends"') == before
    assert neighbour.ask(5) == {"OK": 5}


def test_frames_that_say_nothing_end_a_connection(
    proxy: RunningProxy, neighbour: Neighbour
) -> None:
    with frames(proxy.target, 1, proxy.ca) as [client]:
        number = client.open(ANSWER, body=b"", end=False)
        client.more(number, [b""] * 50)
        client.send()
        poll(lambda: not client.read(1) and client.closed, 20, "the end")
    assert neighbour.ask(5) == {"OK": 5}


def test_connections_in_all_have_a_bound(proxy: RunningProxy, neighbour: Neighbour) -> None:
    """Those that never begin their handshake do not stay, either."""
    assert neighbour.ask(1) == {"OK": 1}
    refused, open_ = "envoy_listener_downstream_cx_overflow", "envoy_listener_downstream_cx_active"
    with contextlib.ExitStack() as stack:

        def connect() -> bool:
            for _ in range(50):
                one = socket.create_connection(proxy.address, timeout=5)
                stack.enter_context(one)
            return proxy.count(refused) > 0

        poll(connect, 60, "a refusal")
        # Its two threads may each have let one in at the same time.
        assert proxy.count(open_, str(proxy.address[1])) <= CONNECTIONS + 1
        assert neighbour.ask(20) == {"OK": 20}
        poll(lambda: works(proxy), 60, "room for others")


def works(proxy: RunningProxy) -> bool:
    """Whether a new client gets an answer."""
    with proxy.channel() as channel:
        return Neighbour(channel).ask(1) == {"OK": 1}


def test_calls_of_a_connection_have_a_rate(server: RunningServer, tmp_path: Path) -> None:
    limits = {"max_tokens: 2000, tokens_per_fill: 1000": "max_tokens: 20, tokens_per_fill: 1"}
    with (
        running_proxy(tmp_path, server.target, limits=limits) as proxy,
        proxy.channel() as hasty,
        proxy.channel() as other,
    ):
        found = Neighbour(hasty).ask(100)
        assert set(found) == {"OK", "RESOURCE_EXHAUSTED"}
        assert Neighbour(other).ask(10) == {"OK": 10}
