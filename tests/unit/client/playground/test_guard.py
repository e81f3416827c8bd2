"""Only this machine's own page may call: DNS rebinding and other sites are refused."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from spanqa.playground.guard import refusal
from unit.client.fake_service import FakeService
from unit.client.playground.conftest import Ask

OWN = ["localhost", "localhost:8051", "LocalHost:1", "127.0.0.1:8051", "[::1]:8051"]
FOREIGN = [
    "example.com",
    "example.com:8051",
    "localhost.example.com:8051",
    "127.0.0.1.example.com",
    "127.0.0.1:8051.example.com",
    "127.0.0.2:8051",
    "192.168.0.1:8051",
    "0.0.0.0:8051",
    "localhost:8051/",
    "user@localhost:8051",
    "",
]
FOREIGN_ORIGINS = [
    "http://example.com",
    "null",
    "https://localhost:8051",
    "http://localhost:3000",
    "http://127.0.0.1:8051",
    "http://localhost:8051/",
]


@pytest.mark.parametrize("host", OWN)
def test_loopback_names_are_let_in(host: str) -> None:
    assert refusal(Headers({"host": host})) is None
    assert refusal(Headers({"host": host, "origin": f"http://{host.lower()}"})) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_other_hosts_are_refused(host: str) -> None:
    assert "Host" in str(refusal(Headers({"host": host})))


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_other_origins_are_refused(origin: str) -> None:
    assert "Origin" in str(refusal(Headers({"host": "localhost:8051", "origin": origin})))


@pytest.mark.parametrize("raw", [[], [(b"host", b"localhost"), (b"host", b"localhost")]])
def test_no_host_or_two_are_refused(raw: list[tuple[bytes, bytes]]) -> None:
    assert "Host" in str(refusal(Headers(raw=raw)))


@pytest.mark.parametrize("path", ["/", "/main.js", "/api/model"])
def test_a_rebound_name_gets_nothing(path: str, ask: Ask, fake: FakeService) -> None:
    reply = ask("GET", path, Host="rebound.example.com")
    assert (reply.status, fake.requests) == (403, [])
    assert reply.body == b"the Host is not this machine: open the page as http://localhost:PORT\n"


def test_another_site_cannot_ask(ask: Ask, fake: FakeService) -> None:
    body = {"question": "Who?", "documents": [{"text": "Ada did."}]}
    reply = ask("POST", "/api/answer", body, Origin="http://example.com")
    assert (reply.status, fake.requests) == (403, [])


def test_a_form_of_another_site_cannot_ask(ask: Ask, fake: FakeService) -> None:
    """Without an Origin: the content types that a form can send are refused."""
    reply = ask("POST", "/api/answer", b"{}", Content_Type="text/plain")
    assert (reply.status, fake.requests) == (400, [])
    assert "application/json" in reply.json["message"]


@pytest.mark.parametrize("path", ["/", "/main.js", "/page.css", "/api/model", "/nothing"])
def test_every_reply_has_a_strict_policy(path: str, ask: Ask) -> None:
    headers = ask("GET", path).headers
    policy = {part.split()[0]: part for part in headers["Content-Security-Policy"].split("; ")}
    assert policy["default-src"] == "default-src 'none'"
    assert policy["script-src"] == "script-src 'self'"
    assert policy["frame-ancestors"] == "frame-ancestors 'none'"
    assert not any("unsafe" in part or "http" in part for part in policy.values())
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
