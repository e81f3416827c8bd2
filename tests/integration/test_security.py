"""Who gets an answer: certificates and tokens that are right, wrong, missing, expired, replaced."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.certificates import Certificates
from support.processes import (
    BIN,
    RunningServer,
    open_channel,
    run_serve,
    running_server,
    wait_until_serving,
)
from support.triton import address_of

REQUEST = pb.AnswerRequest(question="Where was she born?", context="She was born in Warsaw.")
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
Metadata = tuple[tuple[str, str], ...]
Frontend = Callable[..., contextlib.AbstractContextManager[RunningServer]]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates.made_in(tmp_path)


def credentials(
    trusted: trustme.CA, shown: trustme.LeafCert | None = None
) -> grpc.ChannelCredentials:
    """Of a client that trusts one authority, and shows a certificate or none."""
    if shown is None:
        return grpc.ssl_channel_credentials(trusted.cert_pem.bytes())
    return grpc.ssl_channel_credentials(
        trusted.cert_pem.bytes(),
        shown.private_key_pem.bytes(),
        b"".join(blob.bytes() for blob in shown.cert_chain_pems),
    )


@pytest.fixture
def frontend(server: RunningServer, model_repository: Path, tmp_path: Path) -> Frontend:
    """Runs a server with some flags, before the Triton of another."""

    @contextlib.contextmanager
    def run(*flags: str, by: grpc.ChannelCredentials | None = None) -> Iterator[RunningServer]:
        given = ("--triton", address_of(server), *flags)
        with running_server(model_repository, tmp_path / "log", *given, wait=False) as secured:
            wait_until_serving(secured, credentials=by)
            yield secured

    return run


def ask(
    server: RunningServer, by: grpc.ChannelCredentials | None = None, metadata: Metadata = ()
) -> str:
    """The status of a call on a connection of its own."""
    with open_channel(server.target, by) as channel:
        try:
            QuestionAnsweringServiceStub(channel).Answer(REQUEST, timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def answered(server: RunningServer) -> float:
    return server.metrics().get('spanqa_calls_total{code="OK",method="Answer"}', 0)


def test_tls(frontend: Frontend, tmp_path: Path, certificates: Certificates) -> None:
    right, wrong = credentials(certificates.ours), credentials(certificates.others)
    with frontend(*certificates.flags, by=right) as secured:
        assert ask(secured, right) == "OK"
        assert ask(secured, wrong) == "UNAVAILABLE"
        assert ask(secured, None) == "UNAVAILABLE"
        assert answered(secured) == 1

        certificates.issue(certificates.others)
        assert ask(secured, wrong) == "OK", "it is the right one by now"
        assert ask(secured, right) == "UNAVAILABLE"

        (tmp_path / "cert.pem").write_text("not a certificate")
        assert ask(secured, wrong) == "OK", "the last good ones stay"
        certificates.issue(
            certificates.ours, not_before=YESTERDAY - timedelta(days=9), not_after=YESTERDAY
        )
        assert ask(secured, right) == "UNAVAILABLE", "callers see that it has expired"
        certificates.issue(certificates.ours)
        assert ask(secured, right) == "OK"
        assert answered(secured) == 4
    text = (tmp_path / "log").read_text()
    assert "the TLS files changed and cannot be used" in text
    assert text.count("read the changed TLS files again") == 3


def test_mutual_tls(frontend: Frontend, tmp_path: Path, certificates: Certificates) -> None:
    ours, others = certificates.ours, certificates.others
    right = credentials(ours, ours.issue_cert("client@example.org"))
    expired = ours.issue_cert(
        "client@example.org", not_before=YESTERDAY - timedelta(days=9), not_after=YESTERDAY
    )
    with frontend(*certificates.mutual_flags, by=right) as secured:
        assert ask(secured, right) == "OK"
        assert ask(secured, credentials(ours)) == "UNAVAILABLE"
        assert ask(secured, credentials(ours, expired)) == "UNAVAILABLE"
        stranger = others.issue_cert("client@example.org")
        assert ask(secured, credentials(ours, stranger)) == "UNAVAILABLE"
        assert ask(secured, None) == "UNAVAILABLE"
        assert answered(secured) == 1

        others.cert_pem.write_to_path(tmp_path / "new")
        (tmp_path / "new").replace(tmp_path / "ca.pem")
        assert ask(secured, credentials(ours, stranger)) == "OK", "no stranger any more"
        assert ask(secured, right) == "UNAVAILABLE"
        assert answered(secured) == 2


def test_health_over_tls(frontend: Frontend, tmp_path: Path, certificates: Certificates) -> None:
    certificates.ours.cert_pem.write_to_path(tmp_path / "server-ca.pem")
    client = certificates.ours.issue_cert("client@example.org")
    client.private_key_pem.write_to_path(tmp_path / "client-key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    by_ca = ("--ca", str(tmp_path / "server-ca.pem"))
    shown = ("--certificate", str(tmp_path / "client.pem"))
    by_both = (*by_ca, *shown, "--key", str(tmp_path / "client-key.pem"))
    right = credentials(certificates.ours, client)
    with frontend(*certificates.mutual_flags, by=right) as secured:
        for files, code, told in (
            (by_both, 0, ""),
            (by_ca, 1, "UNAVAILABLE"),
            ((), 1, "UNAVAILABLE"),
            ((*by_ca, *shown), 1, "give --certificate and --key together, and with --ca"),
            (("--ca", "no.pem"), 1, "no.pem: No such file or directory"),
        ):
            command = [str(BIN / "spanqa-server"), "health", "--target", secured.target, *files]
            finished = subprocess.run(
                command, capture_output=True, text=True, timeout=60, check=False
            )
            assert (finished.returncode, "Traceback" in finished.stderr) == (code, False)
            assert told in finished.stderr


def test_a_token_and_a_certificate(
    frontend: Frontend, tmp_path: Path, certificates: Certificates
) -> None:
    (tmp_path / "tokens").write_text("a-token\n")
    ours = certificates.ours
    right = credentials(ours, ours.issue_cert("client@example.org"))
    flags = (*certificates.mutual_flags, "--tokens-file", str(tmp_path / "tokens"))
    with frontend(*flags, by=right) as secured:
        assert ask(secured, right, bearer("a-token")) == "OK"
        assert ask(secured, right, bearer("b-token")) == "UNAUTHENTICATED"
        assert ask(secured, right) == "UNAUTHENTICATED"
        assert ask(secured, credentials(ours), bearer("a-token")) == "UNAVAILABLE"
        assert answered(secured) == 1


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def test_tokens(frontend: Frontend, tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# of the team that asks\nfirst-token\nsecond-token  # until March\n")
    wrong = ("first-toke", "first-token2", "#", "", "of the team that asks", "second-token #")
    with frontend("--tokens-file", str(file)) as secured:
        assert ask(secured, metadata=bearer("first-token")) == "OK"
        assert ask(secured, metadata=(("authorization", "bearer second-token"),)) == "OK"
        basic = (("authorization", "Basic first-token"),)
        for metadata in ((), basic, *map(bearer, wrong)):
            assert ask(secured, metadata=metadata) == "UNAUTHENTICATED", metadata
        assert answered(secured) == 2
        assert secured.metrics()['spanqa_refusals_total{reason="unauthenticated"}'] == 8

        file.write_text("second-token\nthird-token\n")
        while ask(secured, metadata=bearer("first-token")) == "OK":
            pass  # a change may go unnoticed for a second
        assert ask(secured, metadata=bearer("second-token")) == "OK"
        assert ask(secured, metadata=bearer("third-token")) == "OK"


def test_what_a_stranger_may_ask(frontend: Frontend, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("a-token\n")
    with (
        frontend("--tokens-file", str(tmp_path / "tokens")) as secured,
        open_channel(secured.target, None) as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        calls: dict[str, Callable[[], object]] = {
            "GetModel": lambda: stub.GetModel(pb.GetModelRequest(), timeout=20),
            "StreamAnswer": lambda: next(stub.StreamAnswer(iter([]), timeout=20)),
            "reflection": lambda: next(
                reflection.ServerReflectionInfo(iter([listing]), timeout=20)
            ),
        }
        for name, call in calls.items():
            with pytest.raises(grpc.RpcError) as refused:
                call()
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED, name
            assert "authorization: Bearer TOKEN" in (refused.value.details() or "")
        health = health_pb2_grpc.HealthStub(channel)
        status = health.Check(health_pb2.HealthCheckRequest(), timeout=20).status
        assert status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ("--tls-certificate", "cert.pem"),
            "--tls-certificate and --tls-key must be given together",
        ),
        (("--tls-client-ca", "ca.pem"), "--tls-client-ca needs --tls-certificate and --tls-key"),
        (("--tls-certificate", "no", "--tls-key", "no"), "cannot use the TLS files no, no"),
        (("--tokens-file", "/no/such"), "cannot use the tokens file /no/such"),
        (("--tokens-file", "/dev/null"), "/dev/null: is not a regular file"),
    ],
)
def test_what_cannot_work_ends_the_start(
    server: RunningServer, model_repository: Path, flags: tuple[str, ...], told: str
) -> None:
    finished = run_serve(model_repository, "--port", "0", "--triton", address_of(server), *flags)
    assert finished.returncode == 1
    assert told in finished.stderr
    assert "Traceback" not in finished.stderr
