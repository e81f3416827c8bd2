"""The examples, built, and the servers that they ask."""

from collections.abc import Iterator

import grpc
import pytest
import trustme

from support.examples import REPOSITORY, Example, Secured, read_examples
from support.processes import RunningServer, running_server, wait_until_serving
from support.triton import address_of


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server as `make serve` starts it."""
    with running_server(REPOSITORY, tmp_path_factory.mktemp("plain") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def secured(plain: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """The same with TLS and a token."""
    there = tmp_path_factory.mktemp("secured")
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1", "localhost")
    made.private_key_pem.write_to_path(there / "key.pem")
    (there / "cert.pem").write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))
    authority.cert_pem.write_to_path(there / "ca.pem")
    (there / "tokens").write_text(f"{Secured.token}\n")
    flags = ("--triton", address_of(plain), "--tokens-file", str(there / "tokens"))
    tls = ("--tls-certificate", str(there / "cert.pem"), "--tls-key", str(there / "key.pem"))
    with running_server(REPOSITORY, there / "log", *flags, *tls, wait=False) as server:
        trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        wait_until_serving(server, credentials=trusted)
        yield Secured(server, there / "ca.pem")


@pytest.fixture(scope="session", params=read_examples(), ids=lambda example: example.language)
def example(request: pytest.FixtureRequest) -> Example:
    """One after the other, built."""
    chosen: Example = request.param
    if missing := chosen.missing():
        message = f"{chosen.language}: not on this machine: {', '.join(missing)}"
        if chosen.language in request.config.getoption("--clients").split(","):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    chosen.build()
    return chosen
