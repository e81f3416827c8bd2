"""The page of metrics: it is there for Prometheus, whoever else connects."""

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge

from spanqa_server.errors import StartupError
from spanqa_server.telemetry import endpoint
from spanqa_server.telemetry.endpoint import MOST_CONNECTIONS, start_metrics
from support.processes import free_port, poll


@pytest.fixture
def port() -> int:
    registry = CollectorRegistry()
    Gauge("here", "Is there.", registry=registry).set(1)
    port = free_port()
    start_metrics("127.0.0.1", port, registry)
    return port


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


@contextlib.contextmanager
def half_requests(port: int, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(count):
            made.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)))
            made[-1].sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        yield made


def ended(connection: socket.socket) -> bool:
    connection.settimeout(20)
    with contextlib.suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def test_half_requests_keep_nobody_out(port: int) -> None:
    before = threading.active_count()
    with half_requests(port, 300) as connections:
        for _ in range(3):
            assert "here 1.0" in page(port)
        assert threading.active_count() - before <= MOST_CONNECTIONS + 1
        assert all(ended(one) for one in connections[: -MOST_CONNECTIONS - 3])


@pytest.mark.parametrize("limit", ["SILENT_SECONDS", "CONNECTION_SECONDS"])
def test_a_half_request_ends(limit: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, limit, 0.2)
    monkeypatch.setattr(endpoint.Handler, "timeout", endpoint.SILENT_SECONDS)
    with half_requests(port, 1) as [connection]:
        assert ended(connection)
    poll(lambda: "here 1.0" in page(port), 10, "the page is there")


def test_complete_requests_are_answered_though_many_are_half(port: int) -> None:
    request = b"GET /metrics HTTP/1.0\r\n\r\n"
    with half_requests(port, 10), socket.create_connection(("127.0.0.1", port), 10) as whole:
        whole.sendall(request)
        with half_requests(port, 40):
            whole.settimeout(10)
            assert whole.recv(12) == b"HTTP/1.0 200"


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_cannot_be_had_is_named(host: str, port: int) -> None:
    with pytest.raises(StartupError, match="--metrics-port or --metrics-host") as raised:
        start_metrics(host, port, CollectorRegistry())
    assert f"{host}:{port}" in str(raised.value)
