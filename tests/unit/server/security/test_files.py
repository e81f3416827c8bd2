"""The files that decide who is let in: what is said of them where other users reach them."""

import logging
import os
from pathlib import Path

import pytest

from spanqa_server.errors import StartupError
from spanqa_server.security.bearer_tokens import LOOK_SECONDS, BearerTokens
from spanqa_server.security.tls import TlsFiles, server_credentials
from support.certificates import Certificates


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text("first\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o440])
def test_nothing_is_said_of_a_file_of_the_user_and_the_group(
    tokens: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    tokens.chmod(mode)
    assert BearerTokens(tokens).accept("Bearer first")
    assert caplog.messages == []


def test_a_tokens_file_that_everyone_may_read(
    tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokens.chmod(0o644)
    assert BearerTokens(tokens).accept("Bearer first")
    assert caplog.messages == [
        f"tokens file {tokens}: every user of this machine may read it (mode 0644); "
        f"run: chmod o-rwx {tokens}"
    ]


def test_a_tokens_file_that_everyone_may_write_lets_nobody_in(tokens: Path) -> None:
    tokens.chmod(0o666)
    with pytest.raises(StartupError) as raised:
        BearerTokens(tokens)
    assert str(raised.value).endswith(
        f"{tokens}: every user of this machine may write to it (mode 0666); "
        f"run: chmod o-rwx {tokens}"
    )


def test_tokens_that_everyone_could_write_later_do_not_count(
    tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    known = BearerTokens(tokens, clock=lambda: now[0])
    tokens.write_text("first\nsmuggled\n")
    tokens.chmod(0o622)
    now[0] += LOOK_SECONDS
    assert not known.accept("Bearer smuggled")
    assert known.accept("Bearer first")
    assert "(mode 0622)" in caplog.text
    tokens.chmod(0o600)
    now[0] += LOOK_SECONDS
    assert known.accept("Bearer smuggled"), "the mode alone has changed"


def test_a_tokens_file_without_a_token(tokens: Path) -> None:
    tokens.write_text("# none yet\n\n")
    with pytest.raises(StartupError, match="it has no token: write one per line"):
        BearerTokens(tokens)


def test_a_fifo_in_the_place_of_the_tokens(tokens: Path) -> None:
    tokens.unlink()
    os.mkfifo(tokens)
    with pytest.raises(StartupError, match="is not a regular file"):
        BearerTokens(tokens)


@pytest.mark.parametrize(("mode", "lines"), [(0o644, 1), (0o600, 0)])
def test_a_tls_key_that_everyone_may_read(
    tmp_path: Path, mode: int, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    Certificates.made_in(tmp_path)
    (tmp_path / "cert.pem").chmod(0o644)
    (tmp_path / "key.pem").chmod(mode)
    server_credentials(TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem"))
    assert len(caplog.messages) == lines
    assert all(f"TLS files {tmp_path / 'key.pem'}: " in line for line in caplog.messages)


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
def test_a_tls_file_that_everyone_may_write(tmp_path: Path, name: str) -> None:
    Certificates.made_in(tmp_path)
    (tmp_path / name).chmod(0o606)
    files = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    with pytest.raises(StartupError, match=rf"{name}: every user .* \(mode 0606\)"):
        server_credentials(files)
