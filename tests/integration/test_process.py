"""The server as a process: it starts, says what is wrong, and ends without remains."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from spanqa.v1 import question_answering_pb2 as pb
from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.bad_versions import no_torchscript
from support.processes import BIN, RunningServer, free_port, run_serve, running_server

SERVICE = "spanqa.v1.QuestionAnsweringService"
REQUEST = pb.AnswerRequest(question="Where was she born?", context="She was born in Warsaw.")


def left(children: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie has ended and only waits for init to notice."""
    alive = psutil.wait_procs(children, timeout=3)[1]
    return [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health(channel: grpc.Channel, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    response = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_the_health_command(server: RunningServer) -> None:
    command = [str(BIN / "spanqa-server"), "health", "--target"]
    assert subprocess.run([*command, server.target], check=False).returncode == 0
    nobody = f"127.0.0.1:{free_port()}"
    refused = subprocess.run([*command, nobody], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (1, f"spanqa-server: {nobody}: UNAVAILABLE\n")


def test_triton_listens_on_no_port(server: RunningServer) -> None:
    triton = server.triton()
    assert [c for c in triton.net_connections("inet") if c.status == "LISTEN"] == []
    paths = {Path(str(c.laddr)) for c in triton.net_connections("unix")}
    sockets = {path for path in paths if path.parent.name.startswith("spanqa-sockets-")}
    assert {path.name for path in sockets} == {"grpc:1", "metrics"}
    [directory] = {path.parent for path in sockets}
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_its_triton(
    tiny_repository: Path, tmp_path: Path, number: signal.Signals, workers: str
) -> None:
    with running_server(tiny_repository, tmp_path / "log", "--workers", workers) as server:
        children = server.children()
        assert {"tritonserver", "triton_python_backend_stub"} <= {c.name() for c in children}
        assert server.stop(number, within=10) == 0
        assert left(children) == []
    assert "Traceback" not in server.log.read_text()


def test_a_signal_while_triton_starts(tiny_repository: Path, tmp_path: Path) -> None:
    with running_server(tiny_repository, tmp_path / "log", wait=False) as server:
        with grpc.insecure_channel(server.target) as channel:
            grpc.channel_ready_future(channel).result(30)
        children = server.children()
        assert server.stop(within=10) == 0
        assert left(children) == []


def test_a_signal_amid_huge_texts(model_repository: Path, tmp_path: Path) -> None:
    """A million tokens each: tokenizing them must not hold up the end."""
    huge = pb.AnswerRequest(question="Where?", context="." * (1 << 20))
    with (
        running_server(model_repository, tmp_path / "log", "--shutdown-grace", "1") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        calls = [stub.Answer.future(huge, timeout=60) for _ in range(12)]
        stub.Answer(REQUEST, timeout=30)
        health = health_pb2_grpc.HealthStub(channel)
        status = health.Check(health_pb2.HealthCheckRequest(), timeout=10).status
        assert status == health_pb2.HealthCheckResponse.SERVING
        children = server.children()
        assert server.stop(within=10) == 0
        assert left(children) == []
        assert all(call.code() is not grpc.StatusCode.OK for call in calls)


def test_accepted_calls_are_answered_before_it_ends(model_repository: Path, tmp_path: Path) -> None:
    long_request = pb.AnswerRequest(question="Where?", context="The rain fell on Cork. " * 250)
    with (
        running_server(model_repository, tmp_path / "log", "--shutdown-grace", "8") as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        stub = QuestionAnsweringServiceStub(channel)
        stub.Answer(REQUEST, timeout=30)
        accepted = threading.Event()
        calls = [stub.Answer.future(long_request, timeout=30) for _ in range(2)]
        probe = stub.Answer.future(REQUEST, timeout=30)
        probe.add_done_callback(lambda _: accepted.set())
        assert accepted.wait(30)
        assert server.stop(within=10) == 0
        assert all(call.result().answers for call in calls)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_everything_ends_when_the_server_is_killed(
    tiny_repository: Path, tmp_path: Path, workers: str
) -> None:
    with running_server(tiny_repository, tmp_path / "log", "--workers", workers) as server:
        children = server.children()
        server.stop(signal.SIGKILL)
        assert left(children) == []


def test_metrics(server: RunningServer, channel: grpc.Channel) -> None:
    counted = (
        'spanqa_calls_total{code="OK",method="Answer"}',
        'spanqa_calls_total{code="INVALID_ARGUMENT",method="Answer"}',
        'spanqa_stage_seconds_count{stage="decode"}',
        "spanqa_windows_total",
    )
    before = server.metrics()
    stub = QuestionAnsweringServiceStub(channel)
    stub.Answer(REQUEST, timeout=30)
    with pytest.raises(grpc.RpcError):
        stub.Answer(pb.AnswerRequest(), timeout=30)
    metrics = server.metrics()
    assert [metrics[name] - before.get(name, 0) for name in counted] == [1, 1, 1, 1]
    assert metrics["spanqa_model_ready"] == 1


def one_line(finished: subprocess.CompletedProcess[str]) -> str:
    """The one line of a failed start (gRPC's own lines about the port left out)."""
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    lines = [line for line in finished.stderr.splitlines() if line.startswith("spanqa-server: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use(tiny_repository: Path, workers: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = one_line(run_serve(tiny_repository, "--port", port, "--workers", workers))
        assert f"127.0.0.1:{port}" in line
        assert "--port" in line
        line = one_line(run_serve(tiny_repository, "--port", "0", "--metrics-port", port))
        assert "--metrics-port" in line


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_model_version(tmp_path: Path, workers: str) -> None:
    line = one_line(run_serve(tmp_path, "--port", "0", "--workers", workers))
    assert f"spanqa-model export --preset minilm-squad --repository {tmp_path}" in line


@pytest.mark.parametrize("broken", ["model.pt", "model.json", "tokenizer.json"])
@pytest.mark.parametrize("how", ["missing", "cut short"])
def test_a_broken_version(tiny_repository: Path, tmp_path: Path, broken: str, how: str) -> None:
    shutil.copytree(tiny_repository, tmp_path / "repository")
    file = tmp_path / "repository" / "bert_qa" / "1" / broken
    if how == "missing":
        file.unlink()
    else:
        os.truncate(file, file.stat().st_size // 2)
    line = one_line(run_serve(tmp_path / "repository", "--port", "0"))
    assert broken in line
    assert "spanqa-model export" in line


def test_a_version_that_triton_cannot_load(tiny_repository: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_repository, tmp_path / "repository")
    version = tmp_path / "repository" / "bert_qa" / "1"
    no_torchscript(version)
    line = one_line(run_serve(tmp_path / "repository", "--port", "0"))
    assert f"model version {version} is broken: Triton could not load it (" in line
    assert "spanqa-model export" in line


def test_an_external_triton_that_is_not_there(tiny_repository: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    line = one_line(
        run_serve(tiny_repository, "--port", "0", "--triton", address, "--startup-timeout", "1")
    )
    assert address in line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "70000"], "--port"),
        (["--triton", "nowhere"], "HOST:PORT"),
        (["--log-level", "LOUD"], "--log-level"),
        (["--max-windows", "3000000000"], "--max-windows"),
        (["--max-message-bytes", "99999999999"], "--max-message-bytes"),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, arguments: list[str], told: str) -> None:
    assert told in one_line(run_serve(tmp_path, *arguments))


def test_the_frontend_never_imports_torch() -> None:
    code = "import sys, spanqa_server.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
