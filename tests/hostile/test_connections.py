"""Connections and calls that are opened and then say nothing: all have a bound, and an end."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.certificates import Certificates
from support.frames import ANSWER, CHECK, STREAM, WATCH, Frames, frames, message
from support.processes import (
    SERVER,
    RunningServer,
    open_channel,
    poll,
    running_server,
    wait_until_serving,
)

REQUEST = pb.AnswerRequest(
    question="Where was Curie born?", context="Marie Curie was born in Warsaw in 1867."
)
CONNECTIONS, STREAMS, CALLS = 20, 8, 32
# A record of a ClientHello of 512 bytes, of which no more than its beginning comes.
TLS_HELLO_BEGUN = bytes.fromhex("1603010200010001fc0303") + bytes(16)
LIMITS = (
    *("--max-connections", str(CONNECTIONS), "--max-calls-per-connection", str(STREAMS)),
    *("--max-open-calls", str(CALLS), "--first-message-timeout", "2"),
    *("--max-connection-idle", "3", "--max-connection-age", "0"),
)


@pytest.fixture(scope="module")
def narrow(
    model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server with limits that a test reaches soon."""
    log = tmp_path_factory.mktemp("narrow") / "log"
    with running_server(model_repository, log, *LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def secured(
    tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server that takes connections by TLS."""
    there = tmp_path_factory.mktemp("secured")
    certificates = Certificates.made_in(there)
    with running_server(tiny_repository, there / "log", *certificates.flags, wait=False) as running:
        credentials = grpc.ssl_channel_credentials((there / "ca.pem").read_bytes())
        wait_until_serving(running, credentials=credentials)
        yield running


def answered(server: RunningServer) -> bool:
    """Whether a new client gets an answer."""
    with open_channel(server.target, None) as channel:
        stub = QuestionAnsweringServiceStub(channel)
        return bool(stub.Answer(REQUEST, timeout=10).answers)


@pytest.mark.parametrize("path", [ANSWER, STREAM, CHECK, WATCH])
def test_calls_without_a_message_end(path: str, narrow: RunningServer) -> None:
    with frames(narrow.target, 4) as clients:
        opened = {client: [client.open(path) for _ in range(STREAMS)] for client in clients}
        for client in clients:
            client.send()
        poll(lambda: still_open(opened) == 0, 30, "their end")


def test_half_open_calls_keep_nobody_out(narrow: RunningServer) -> None:
    with frames(narrow.target, 10) as clients:
        opened = {client: [client.open(ANSWER) for _ in range(STREAMS)] for client in clients}
        for client in clients:
            client.send()
        for _ in range(5):
            assert answered(narrow)
        assert still_open(opened) <= CALLS


def still_open(opened: dict[Frames, list[int]]) -> int:
    """How many of these calls the server has not ended."""
    for client in opened:
        while client.read(0.02):
            pass
    return sum(number not in client.ended for client, all_ in opened.items() for number in all_)


def test_streams_that_fall_silent_make_room_for_others(narrow: RunningServer) -> None:
    pair = pb.StreamAnswerRequest(id="1", request=REQUEST).SerializeToString()
    with frames(narrow.target, 6) as clients:
        for client in clients:
            for _ in range(STREAMS):
                client.open(STREAM, body=message(pair), end=False)
            client.send()
        assert answered(narrow)


def test_a_connection_takes_no_more_calls_than_it_may(narrow: RunningServer) -> None:
    with frames(narrow.target) as [client]:
        poll(lambda: client.read(1) and client.streams_allowed == STREAMS, 10, "the setting")


def test_watchers_of_health_are_few_on_a_connection(server: RunningServer) -> None:
    with frames(server.target) as [client]:
        for _ in range(40):
            client.open(WATCH, body=message())
        client.send()
        # Which of them come first is not for the client to say.
        poll(lambda: client.read(1) and client.open_calls <= 16, 20, "the refusals")
        client.read(1)
        assert client.open_calls == 16
        assert set(client.codes.values()) == {grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]}


def test_idle_connections_end(narrow: RunningServer) -> None:
    with frames(narrow.target, CONNECTIONS // 2) as clients:
        poll(lambda: all(left(client) for client in clients), 30, "the end of all")
    assert answered(narrow)


def left(client: Frames) -> bool:
    """Whether the server has closed the connection."""
    client.read(0.005)
    return client.closed


def test_connections_beyond_the_limit_are_closed(narrow: RunningServer) -> None:
    process = psutil.Process(narrow.process.pid)
    before = process.num_fds()
    with contextlib.ExitStack() as stack:
        for _ in range(6 * CONNECTIONS):
            host, _, port = narrow.target.rpartition(":")
            stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
        poll(lambda: process.num_fds() <= before + CONNECTIONS + 5, 20, "few descriptors")
    poll(lambda: works(narrow), 30, "an answer")


@pytest.mark.parametrize("said", [b"", TLS_HELLO_BEGUN], ids=["nothing", "half a hello"])
def test_a_handshake_that_stops_half_way_is_ended(secured: RunningServer, said: bytes) -> None:
    """All connections at once, so that the ten seconds pass once."""
    host, _, port = secured.target.rpartition(":")
    with contextlib.ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            for _ in range(10)
        ]
        for one in connections:
            one.sendall(said)
        for one in connections:
            assert one.recv(1) == b"", "the server's end"


def test_idle_connections_do_not_use_up_the_descriptors(
    model_repository: Path, tmp_path: Path
) -> None:
    few = 400
    program = ("prlimit", f"--nofile={few}:{few}", *SERVER)
    with running_server(model_repository, tmp_path / "log", program=program) as server:
        assert "taking at most 200 connections" in server.log.read_text()
        process = psutil.Process(server.process.pid)
        with frames(server.target, few) as clients:
            poll(lambda: sum(left(one) for one in clients) >= few - 200, 30, "the end of some")
            assert process.num_fds() < few - 50
        poll(lambda: works(server), 30, "an answer")


def works(server: RunningServer) -> bool:
    try:
        return answered(server)
    except grpc.RpcError:
        return False
