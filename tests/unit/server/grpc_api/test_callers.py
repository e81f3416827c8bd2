"""Who counts as one caller."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from spanqa_server.grpc_api.callers import Callers
from spanqa_server.security.bearer_tokens import BearerTokens
from support.certificates import Certificates


class Context:
    """Of a call over one of two connections."""

    def __init__(self, peer: str, token: str = "", identities: tuple[bytes, ...] = ()) -> None:
        self._peer, self._token, self._identities = peer, token, identities

    def peer(self) -> str:
        return self._peer

    def peer_identities(self) -> tuple[bytes, ...] | None:
        return self._identities or None

    def invocation_metadata(self) -> Any:
        return (("authorization", f"Bearer {self._token}"),) if self._token else ()


def names(callers: Callers, *contexts: Any) -> int:
    """How many callers they are."""
    return len({callers.name(context) for context in contexts})


@pytest.fixture
def tokens(tmp_path: Path) -> BearerTokens:
    (tmp_path / "tokens").write_text("one\ntwo\n")
    return BearerTokens(tmp_path / "tokens")


def test_a_caller_is_a_connection() -> None:
    callers = Callers()
    assert names(callers, Context("a"), Context("b", "one"), Context("b", "two")) == 2


def test_or_a_token(tokens: BearerTokens) -> None:
    callers = Callers(tokens)
    calls: list[Any] = [Context("a", "one"), Context("b", "one"), Context("b", "two")]
    assert names(callers, *calls) == 2
    assert all("one" not in callers.name(call) for call in calls)


def test_a_token_that_all_share_tells_nobody_apart(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    callers = Callers(BearerTokens(tmp_path / "token"))
    assert names(callers, Context("a", "one"), Context("b", "one")) == 2


def test_or_a_client_certificate() -> None:
    calls = [
        Context("a", identities=(b"one",)),
        Context("b", identities=(b"one",)),
        Context("b", identities=(b"two",)),
    ]
    assert names(Callers(certificates=True), *calls) == 2
    assert names(Callers(certificates=True), Context("a"), Context("b")) == 2


async def test_certificates_are_told_apart_over_connections(tmp_path: Path) -> None:
    certificates = Certificates.made_in(tmp_path)
    callers = Callers(certificates=True)

    async def name(raw: bytes, context: Any) -> bytes:
        return callers.name(context).encode()

    server = grpc.aio.server()
    methods: Any = {"Name": grpc.unary_unary_rpc_method_handler(name)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a", methods),))
    port = server.add_secure_port("localhost:0", certificates.credentials(mutual=True))
    await server.start()

    async def told(leaf: trustme.LeafCert) -> bytes:
        credentials = grpc.ssl_channel_credentials(
            (tmp_path / "ca.pem").read_bytes(),
            leaf.private_key_pem.bytes(),
            leaf.cert_chain_pems[0].bytes(),
        )
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials, options) as channel:
            ask: Any = channel.unary_unary("/a/Name")
            answer: bytes = await ask(b"", timeout=20)
            return answer

    one, two = (certificates.ours.issue_cert(f"{who}@example.org") for who in ("one", "two"))
    try:
        first, again, other = await asyncio.gather(told(one), told(one), told(two))
    finally:
        await server.stop(None)
    assert first == again != other
    assert b"one@example.org" in first
