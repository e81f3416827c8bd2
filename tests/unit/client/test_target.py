"""Where a client connects: the port, the host, and a proxy on the way."""

from __future__ import annotations

from typing import Any

import pytest

import spanqa
from spanqa import _channel, _target


@pytest.mark.parametrize(
    ("target", "full", "host"),
    [
        ("localhost", "localhost:50051", "localhost"),
        ("qa.example:1", "qa.example:1", "qa.example"),
        ("qa.example:https", "qa.example:https", "qa.example"),
        ("10.0.0.1", "10.0.0.1:50051", "10.0.0.1"),
        ("::1", "[::1]:50051", "::1"),
        ("[::1]", "[::1]:50051", "::1"),
        ("[::1]:1", "[::1]:1", "::1"),
        ("fe80::1%eth0", "[fe80::1%eth0]:50051", "fe80::1%eth0"),
        ("dns:///qa", "dns:///qa:50051", "qa"),
        ("dns:qa", "dns:qa:50051", "qa"),
        ("dns://8.8.8.8/qa:1", "dns://8.8.8.8/qa:1", "qa"),
        ("ipv4:10.0.0.1,10.0.0.2:1", "ipv4:10.0.0.1:50051,10.0.0.2:1", ""),
        ("ipv6:[::1]", "ipv6:[::1]:50051", "::1"),
        ("unix:/run/qa:99999", "unix:/run/qa:99999", ""),
        ("unix:///run/qa", "unix:///run/qa", ""),
        ("unix-abstract:qa", "unix-abstract:qa", ""),
        ("xds:///qa", "xds:///qa", ""),
    ],
)
def test_a_target_without_a_port_means_50051(target: str, full: str, host: str) -> None:
    assert _target.full_target(target) == full
    assert _target.full_target(full) == full
    assert _target.place_of(full)[0] == host
    spanqa.Client(target).close()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (7, "target must be a str, not int"),
        ("", "HOST:PORT"),
        ("a b:1", "HOST:PORT"),
        ("localhost:", "HOST for port 50051"),
        (":50051", "HOST for port 50051"),
        ("https://host:1", "leave out the scheme"),
        ("localhost:99999", "over 65535"),
        ("dns:///localhost:99999", "over 65535"),
    ],
)
def test_what_is_no_target_is_refused(target: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        spanqa.Client(target)


@pytest.mark.parametrize(
    ("target", "uses"),
    [
        ("qa.example:50051", True),
        ("10.0.0.1:50051", True),
        ("localhost:50051", False),
        ("127.0.0.1:50051", False),
        ("[::1]:50051", False),
        ("dns:///localhost:50051", False),
        ("qa.inside:50051", False),
    ],
)
def test_loopback_is_not_reached_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, target: str, uses: bool
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "elsewhere,.inside")
    assert _target.proxy_of(target) == ("http_proxy=http://proxy:3128" if uses else "")
    if "inside" not in target:  # gRPC reads no_proxy itself
        options = dict(_channel.channel_options(target, 1000, ()))
        assert bool(options["grpc.enable_http_proxy"]) is uses


def test_a_message_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    with spanqa.Client("192.0.2.1:1") as client, pytest.raises(spanqa.UnavailableError) as raised:
        client.answer("q", "c", timeout=20)
    assert "through a proxy: http_proxy=http://127.0.0.1:9" in str(raised.value)
