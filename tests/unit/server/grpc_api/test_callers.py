"""Who counts as one caller."""

from pathlib import Path
from typing import Any

import pytest

from spanqa_server.grpc_api.callers import Callers
from spanqa_server.security.bearer_tokens import BearerTokens


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
    calls = (Context("a", "one"), Context("b", "one"), Context("b", "two"))
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
