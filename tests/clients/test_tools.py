"""grpcurl, grpc-health-probe, buf and ghz, as README and docs call them."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.ghz.run import INSTALLED, METHODS, PROFILES
from support.examples import ROOT, Secured
from support.processes import BIN, RunningServer
from support.squad import write_squad

pytestmark = pytest.mark.clients

METHOD = "spanqa.v1.QuestionAnsweringService/Answer"
PAIR = {"question": "Where was Marie Curie born?", "context": "😀 She was born in Warsaw in 1867."}
ASKED = json.dumps({**PAIR, "options": {"offset_encoding": "OFFSET_ENCODING_UTF16"}})
SOURCES = {
    "reflection": [],
    "proto": ["-import-path", "protos", "-proto", "spanqa/v1/question_answering.proto"],
    "descriptor set": ["-protoset", "protos/releases/v0.2.0.binpb"],
}


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{INSTALLED}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
    # A make that runs the tests must not change what a make says that they run.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=kept | {"PATH": path} | variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.fixture(scope="session")
def go_tools(request: pytest.FixtureRequest) -> None:
    """Programs that are written in Go, installed as the Makefile does it."""
    if shutil.which("go") is None:
        if "go" in request.config.getoption("--clients").split(","):
            pytest.fail("go is not on this machine", pytrace=False)
        pytest.skip("go is not on this machine")
    made = run("make", "ghz", "grpcurl")
    assert made.returncode == 0, made.stderr[-4000:]


def check_answer(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 0, ended.stderr
    reply = json.loads(ended.stdout)
    assert reply["answers"][0]["text"] == "Warsaw"
    assert reply["answers"][0]["start"] == 19
    assert reply["offsetEncoding"] == "OFFSET_ENCODING_UTF16"


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.usefixtures("go_tools")
def test_grpcurl(plain: RunningServer, source: str) -> None:
    command = ["grpcurl", "-plaintext", *SOURCES[source], "-d", ASKED, plain.target, METHOD]
    check_answer(run(*command))


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.usefixtures("go_tools")
def test_grpcurl_with_tls_and_a_token(secured: Secured, source: str) -> None:
    security = ["-cacert", str(secured.authority), "-H", f"authorization: Bearer {secured.token}"]
    command = ["grpcurl", *security, *SOURCES[source], "-d", ASKED, secured.server.target, METHOD]
    check_answer(run(*command))


@pytest.mark.usefixtures("go_tools")
def test_grpcurl_describes_what_there_is(plain: RunningServer) -> None:
    listed = run("grpcurl", "-plaintext", plain.target, "list")
    assert "spanqa.v1.QuestionAnsweringService" in listed.stdout.split()
    described = run("grpcurl", "-plaintext", plain.target, "describe", "spanqa.v1.AnswerOptions")
    assert "int32 max_answers_per_document = 10;" in described.stdout
    statuses = run("grpcurl", "-plaintext", plain.target, "grpc.health.v1.Health/List")
    assert json.loads(statuses.stdout)["statuses"][""] == {"status": "SERVING"}


@pytest.mark.usefixtures("go_tools")
def test_grpc_health_probe(plain: RunningServer, secured: Secured) -> None:
    assert run("grpc-health-probe", f"-addr={plain.target}").returncode == 0
    tls = ["-tls", f"-tls-ca-cert={secured.authority}"]
    service = "-service=spanqa.v1.QuestionAnsweringService"
    assert run("grpc-health-probe", f"-addr={secured.server.target}", *tls, service).returncode == 0
    assert run("grpc-health-probe", f"-addr={plain.target}", "-service=no").returncode != 0


@pytest.mark.parametrize("source", ["reflection", "schema"])
def test_buf_curl(plain: RunningServer, source: str) -> None:
    schema = ["--schema", "protos"] if source == "schema" else []
    options = ["--protocol", "grpc", "--http2-prior-knowledge", "--data", ASKED]
    check_answer(run("buf", "curl", *schema, *options, f"http://{plain.target}/{METHOD}"))


@pytest.mark.parametrize("security", ["plain", "secured"])
@pytest.mark.parametrize("mode", ["proto", "reflection"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.usefixtures("go_tools")
def test_ghz(
    profile: str,
    method: str,
    mode: str,
    security: str,
    plain: RunningServer,
    secured: Secured,
    tmp_path: Path,
) -> None:
    """Each profile in short; the figures in docs/benchmarks.md are of whole ones."""
    target = plain.target if security == "plain" else secured.server.target
    options = [f"PROFILE={profile}", f"METHOD={method}", f"MODE={mode}", f"TARGET={target}"]
    options += [f"DATA={write_squad(tmp_path / 'squad.json', ('What is {{x}}?', '{{x}} is y.'))}"]
    options += [f"CACERT={secured.authority}"] if security == "secured" else []
    token = {"TOKEN": secured.token} if security == "secured" else {}
    ended = run("make", "load", *options, "GHZ=--duration 1s --rps 10", **token)
    assert ended.returncode == 0, ended.stderr[-2000:] + ended.stdout[-2000:]
    told = ended.stdout.splitlines()[-1]
    print(f"\n{profile}, {method}, {mode}, {security}: {told}")
    assert " OK " in told
    assert "Invalid" not in told
