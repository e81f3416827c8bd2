"""Connections dealt out by the kernel, on real sockets."""

import contextlib
import logging
import socket
from pathlib import Path

import pytest

from spanqa_server import spread

CAP_SYS_ADMIN, CAP_BPF = 21, 39


def may_load_programs() -> bool:
    status = Path("/proc/self/status").read_text()
    held = int(status.split("CapEff:")[1].split()[0], 16)
    return bool(held >> CAP_BPF & 1 or held >> CAP_SYS_ADMIN & 1)


def listen(port: int = 0) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(100)
    listener.setblocking(False)
    return listener


def accept_all(listener: socket.socket) -> int:
    accepted = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            accepted += 1
    return accepted


def connect(port: int, times: int) -> None:
    for _ in range(times):
        socket.create_connection(("127.0.0.1", port)).close()


@pytest.mark.parametrize("sharers", [2, 3, 4])
def test_connections_are_dealt_out_in_turn(sharers: int) -> None:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listen())]
        port = listeners[0].getsockname()[1]
        listeners += [stack.enter_context(listen(port)) for _ in range(sharers - 1)]
        dealt = spread.deal_out_connections(port, sharers)
        assert dealt == may_load_programs()
        connect(port, 20 * sharers)
        accepted = [accept_all(listener) for listener in listeners]
        assert sum(accepted) == 20 * sharers
        if dealt:
            assert accepted == [20] * sharers


def test_the_others_take_the_connections_of_one_that_is_gone() -> None:
    with listen() as first:
        port = first.getsockname()[1]
        with listen(port):
            spread.deal_out_connections(port, 2)
        connect(port, 10)
        assert accept_all(first) == 10
        with listen(port) as again:
            spread.deal_out_connections(port, 2)
            connect(port, 64)
            assert accept_all(first) > 0
            assert accept_all(again) > 0


def test_without_the_right_the_kernel_goes_on_with_its_hash(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(command: int, attributes: bytes) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(spread, "call", refuse)
    caplog.set_level(logging.INFO)
    assert not spread.deal_out_connections(1, 2)
    assert "connections are spread by a hash" in caplog.text


def test_only_listeners_on_the_port_are_meant() -> None:
    with listen() as one, listen() as other:
        ports = [sock.getsockname()[1] for sock in (one, other)]
        with socket.create_connection(("127.0.0.1", ports[0])):
            found = [sock.getsockname()[1] for sock in spread.listeners(ports[0])]
    assert found == [ports[0]]
