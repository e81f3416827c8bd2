"""Tritons behind TLS and a token: let in with the right files, and told what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spanqa_server.errors import InferenceError, StartupError
from spanqa_server.triton.access import Access, access_to
from spanqa_server.triton.client import Triton
from spanqa_server.triton.host import TritonHost
from spanqa_server.triton_settings import GateSettings, TritonSettings
from spanqa_server.versions.repository import Readiness
from support.certificates import Certificates
from support.fake_triton import FakeTriton, fake_triton
from support.triton import make_windows, triton_at

PACKED = make_windows(1, [9])
RIGHT = {
    "triton_ca": "ca.pem",
    "triton_certificate": "mine.pem",
    "triton_key": "mine-key.pem",
    "triton_token_file": "token",
}


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    monkeypatch.chdir(tmp_path)
    made = Certificates.made_in(tmp_path)
    made.others.cert_pem.write_to_path(tmp_path / "other-ca.pem")
    made.show("mine", made.ours)
    made.show("stranger", made.others)
    for name, token in (("token", "a-token\n"), ("other-token", "b-token\n")):
        (tmp_path / name).write_text(token)
        (tmp_path / name).chmod(0o600)
    return made


@pytest.fixture
async def closed(certificates: Certificates) -> AsyncIterator[FakeTriton]:
    """One that wants a certificate and a token."""
    async with fake_triton(credentials=certificates.credentials(mutual=True)) as triton:
        triton.token = "a-token"
        yield triton


def settings(**given: Any) -> TritonSettings:
    return GateSettings.model_validate({"triton": "a:1", **given})


def reach(triton: FakeTriton, **given: Any) -> AbstractAsyncContextManager[Triton]:
    return triton_at(triton.address, access=access_to(settings(**given)))


async def test_with_everything_right_it_is_used(closed: FakeTriton) -> None:
    async with asyncio.timeout(20), reach(closed, **RIGHT) as triton:
        host = TritonHost(triton, None)
        assert await host.readiness("1") == {closed.address: Readiness.READY}
        await triton.infer(PACKED, "1")
        assert await host.load_failures() == {}
        assert len(closed.requests) == 1


async def test_a_token_that_changes_is_sent_from_then_on(
    closed: FakeTriton, tmp_path: Path
) -> None:
    async with asyncio.timeout(20), reach(closed, **RIGHT) as triton:
        await triton.infer(PACKED, "1")
        closed.token = "a-new-token"
        with pytest.raises(InferenceError):
            await triton.infer(PACKED, "1")
        (tmp_path / "token").write_text("a-new-token")
        await triton.infer(PACKED, "1")


async def test_a_token_without_tls(triton: FakeTriton, certificates: Certificates) -> None:
    triton.token = "a-token"
    async with asyncio.timeout(20), reach(triton, triton_token_file="token") as reached:
        await reached.infer(PACKED, "1")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict.fromkeys(RIGHT), "if it expects TLS, give --triton-ca or --triton-tls"),
        ({"triton_ca": "other-ca.pem"}, "TLS fails: check --triton-ca"),
        ({"triton_ca": None, "triton_tls": True}, "TLS fails: check --triton-ca"),
        ({"triton_certificate": None, "triton_key": None}, "check --triton-certificate and"),
        (
            {"triton_certificate": "stranger.pem", "triton_key": "stranger-key.pem"},
            "check --triton-certificate and",
        ),
        ({"triton_server_name": "triton.example"}, "--triton-server-name"),
        ({"triton_token_file": None}, "it refuses the call: check --triton-token-file"),
        ({"triton_token_file": "other-token"}, "it refuses the call: check --triton-token-file"),
    ],
)
async def test_what_is_wrong_is_logged_once(
    closed: FakeTriton, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], told: str
) -> None:
    async with asyncio.timeout(20), reach(closed, **(RIGHT | changes)) as triton:
        host = TritonHost(triton, None)
        for _ in range(2):
            [readiness] = (await host.readiness("1")).values()
            assert readiness in (Readiness.AWAY, Readiness.SILENT)
    [line] = caplog.messages
    assert line.startswith(f"Triton at {closed.address}: ")
    assert told in line
    assert "-token " not in line


async def test_plain_text_in_place_of_tls_is_named(
    triton: FakeTriton, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(20), reach(triton, triton_ca="ca.pem") as reached:
        answers = await TritonHost(reached, None).readiness("1")
    assert answers == {triton.address: Readiness.AWAY}
    assert "it expects plain text: leave out --triton-ca" in caplog.text


async def test_a_triton_that_was_reached_and_goes_is_no_closed_one(
    triton: FakeTriton, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(20), triton_at(triton.address) as reached:
        host = TritonHost(reached, None)
        assert await host.readiness("1") == {triton.address: Readiness.READY}
        await triton.stop()
        assert await host.readiness("1") == {triton.address: Readiness.AWAY}
    assert caplog.messages == []


async def test_several_tritons_share_the_name_in_their_certificates(
    certificates: Certificates,
) -> None:
    certificates.issue(certificates.ours, "triton.example")
    credentials = certificates.credentials()
    async with contextlib.AsyncExitStack() as stack:
        tritons = [
            await stack.enter_async_context(fake_triton(credentials=credentials)) for _ in "12"
        ]
        access = access_to(settings(triton_ca="ca.pem", triton_server_name="triton.example"))
        addresses = [one.address for one in tritons]
        triton = await stack.enter_async_context(triton_at(*addresses, access=access))
        answers = await TritonHost(triton, None).readiness("1")
        assert set(answers.values()) == {Readiness.READY}
        async with asyncio.timeout(20):
            while not all(one.requests for one in tritons):
                await triton.infer(PACKED, "1")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"triton_ca": "none.pem"}, "cannot use the TLS files for Triton none.pem"),
        ({"triton_ca": "token"}, "cannot use the TLS files for Triton token"),
        (
            {"triton_certificate": "mine.pem", "triton_key": "stranger-key.pem"},
            "cannot use the TLS files for Triton mine.pem, stranger-key.pem",
        ),
        ({"triton_token_file": "none"}, "cannot use the token file none"),
        ({"triton_token_file": "mine.pem"}, "one token of ASCII characters and nothing else"),
    ],
)
def test_files_that_cannot_be_used_end_the_start(
    certificates: Certificates, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(StartupError) as raised:
        access_to(settings(**given))
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"triton_key": "key.pem"}, "--triton-certificate and --triton-key must be given together"),
        ({"triton": "", "triton_ca": "ca.pem"}, "need --triton: the embedded one is inside"),
        ({"triton": "", "triton_token_file": "token"}, "need --triton"),
        ({"triton": "a:1,b:1", "triton_tls": True}, "need --triton-server-name"),
    ],
)
def test_settings_that_do_not_fit(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        settings(**given)


def test_without_settings_it_is_plain_text() -> None:
    assert access_to(settings()) == Access()
