"""The command line towards servers with TLS, client certificates and tokens, right and wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from support.certificates import Certificates
from support.processes import (
    BIN,
    RunningServer,
    clean_environment,
    running_server,
    wait_until_serving,
)
from support.triton import address_of

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
EXPIRED = {"not_before": YESTERDAY - timedelta(days=9), "not_after": YESTERDAY}
TEXT = "She was born in Warsaw."


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files that the options name."""
    return tmp_path_factory.mktemp("closed")


@pytest.fixture(scope="module")
def certificates(directory: Path) -> Certificates:
    made = Certificates.made_in(directory)
    made.others.cert_pem.write_to_path(directory / "other-ca.pem")
    made.show("mine", made.ours)
    made.show("stranger", made.others)
    made.show("expired", made.ours, **EXPIRED)
    (directory / "text").write_text(TEXT)
    (directory / "tokens").write_text("a-token\n")
    (directory / "token").write_text("\ufeffa-token\r\n", encoding="utf-8")
    (directory / "two-tokens").write_text("a-token b-token\n")
    questions = [{"id": "1", "question": "Where was she born?", "answers": [{"text": "Warsaw"}]}]
    squad = {"data": [{"paragraphs": [{"context": TEXT, "qas": questions}]}]}
    (directory / "squad.json").write_text(json.dumps(squad))
    return made


@pytest.fixture(scope="module")
def places(
    server: RunningServer, model_repository: Path, directory: Path, certificates: Certificates
) -> Iterator[dict[str, str]]:
    """Where servers of each kind are, all before one Triton."""
    mine = certificates.ours.issue_cert("client@example.org")
    by_mine = grpc.ssl_channel_credentials(
        certificates.ours.cert_pem.bytes(),
        mine.private_key_pem.bytes(),
        b"".join(blob.bytes() for blob in mine.cert_chain_pems),
    )
    kinds = {
        "token": (("--tokens-file", str(directory / "tokens")), None),
        "tls": (certificates.flags, by_mine),
        "mutual": (certificates.mutual_flags, by_mine),
    }
    with ExitStack() as stack:
        found = {"plain": server.target}
        for name, (flags, credentials) in kinds.items():
            given = ("--triton", address_of(server), "--first-batch-tokens", "0", *flags)
            log = directory / f"{name}.log"
            one = running_server(model_repository, log, *given, wait=False)
            running = stack.enter_context(one)
            wait_until_serving(running, credentials=credentials)
            found[name] = running.target
        yield found


@pytest.fixture
def spanqa(directory: Path, places: dict[str, str]) -> Spanqa:
    return Spanqa(directory, places)


class Spanqa:
    """The command, in the directory of the files."""

    def __init__(self, directory: Path, places: dict[str, str]) -> None:
        self.directory = directory
        self.places = places

    def run(
        self, place: str, command: str, options: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        target = self.places.get(place, place)
        return subprocess.run(
            [str(BIN / "spanqa"), *command.split(), "--target", target, *options.split()],
            capture_output=True,
            cwd=self.directory,
            env=clean_environment() | variables,
            text=True,
            timeout=60,
            check=False,
        )

    def fails(self, place: str, options: str = "", **variables: str) -> str:
        """The one line on standard error."""
        ended = self.run(place, "info", options, **variables)
        assert (ended.returncode, ended.stdout) == (1, ""), ended.stdout
        line, *more = ended.stderr.splitlines()
        assert not more, ended.stderr
        return line


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("plain", ""),
        ("token", "--token a-token"),
        ("token", "--token-file token"),
        ("tls", "--ca ca.pem"),
        ("tls", "--tls --ca ca.pem --cert mine.pem --key mine-key.pem"),
        ("mutual", "--ca ca.pem --cert mine.pem --key mine-key.pem"),
    ],
)
def test_the_right_options_open(spanqa: Spanqa, place: str, options: str) -> None:
    ended = spanqa.run(place, "info", options)
    assert ended.returncode == 0, ended.stderr
    assert "minilm-squad version 1" in ended.stdout


@pytest.mark.parametrize("command", ["ask Where? text", "evaluate squad.json"])
def test_every_command_has_them_by_variables_too(spanqa: Spanqa, command: str) -> None:
    for place, variables in (
        ("token", {"SPANQA_TOKEN": "a-token"}),
        ("token", {"SPANQA_TOKEN_FILE": "token"}),
        (
            "mutual",
            {"SPANQA_CA": "ca.pem", "SPANQA_CERT": "mine.pem", "SPANQA_KEY": "mine-key.pem"},
        ),
    ):
        ended = spanqa.run(place, command, **variables)
        assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("place", "options", "told"),
    [
        ("tls", "", "speaks TLS, and this call was plain text: give --ca FILE"),
        ("mutual", "", "and --cert and --key: it wants a client certificate, too"),
        ("plain", "--ca ca.pem", "does not speak TLS, it expects plain text: leave out --tls"),
        ("token", "--tls --token a-token", "does not speak TLS"),
        ("tls", "--ca other-ca.pem", "an authority that is not trusted: name the PEM file"),
        ("tls", "--tls", "an authority that is not trusted: name the PEM file"),
        ("mutual", "--ca ca.pem", "wants a client certificate: give --cert and --key"),
        *(
            ("mutual", f"--ca ca.pem --cert {name}.pem --key {name}-key.pem", "not accept your")
            for name in ("stranger", "expired")
        ),
        ("token", "", "asks for a token: give --token-file FILE, or set SPANQA_TOKEN"),
        ("token", "--token b-token", "does not accept this token: check --token"),
        ("127.0.0.1:1", "", "no server answers at 127.0.0.1:1"),
        ("127.0.0.1:1", "--ca ca.pem", "no server answers at 127.0.0.1:1"),
    ],
)
def test_wrong_options_say_what_is_wrong(
    spanqa: Spanqa, place: str, options: str, told: str
) -> None:
    line = spanqa.fails(place, options)
    assert told in line
    assert spanqa.places.get(place, place) in line
    assert "a-token" not in line
    assert "b-token" not in line


@pytest.mark.parametrize(
    ("dates", "name", "told"),
    [
        (EXPIRED, "127.0.0.1", "has expired: renew it at the server"),
        ({}, "qa.example", "does not fit (IP address mismatch"),
    ],
)
def test_a_servers_certificate_that_is_no_good(
    spanqa: Spanqa, certificates: Certificates, dates: dict[str, datetime], name: str, told: str
) -> None:
    try:
        certificates.issue(certificates.ours, name, **dates)
        assert told in spanqa.fails("tls", "--ca ca.pem")
    finally:
        certificates.issue(certificates.ours)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--ca none.pem", "cannot read none.pem: No such file"),
        ("--ca token", "token is no certificate authority in PEM form: check --ca"),
        ("--ca ca.pem --cert mine.pem", "give --cert and --key together"),
        ("--key mine-key.pem", "give --cert and --key together"),
        ("--cert mine.pem --key stranger-key.pem", "stranger-key.pem is not the key of mine.pem"),
        ("--cert token --key mine-key.pem", "no certificate and unencrypted key in PEM form"),
        ("--token x --token-file token", "give --token or --token-file, not both"),
        ("--token-file two-tokens", "two-tokens must hold one token and nothing else"),
        ("--token-file none", "cannot read none: No such file"),
        ("--token caf\u00e9", "token must be printable ASCII"),
    ],
)
def test_options_that_cannot_work_are_refused_before_a_call(
    spanqa: Spanqa, options: str, told: str
) -> None:
    assert told in spanqa.fails("127.0.0.1:1", options)


def test_a_proxy_in_the_environment_is_named(spanqa: Spanqa) -> None:
    line = spanqa.fails("192.0.2.1", http_proxy="http://127.0.0.1:9")
    assert "192.0.2.1:50051 is not reached through the proxy" in line
    assert "http_proxy=http://127.0.0.1:9" in line
    assert "set no_proxy=192.0.2.1 to go past it" in line
