"""Fixtures for tests with real processes: one model, one server for all that only ask."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.processes import BIN, RunningServer, running_server


@pytest.fixture(scope="session")
def model_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the default model in float32, exported as a user would."""
    repository = tmp_path_factory.mktemp("repository")
    subprocess.run(
        [
            *(BIN / "spanqa-model", "export", "--preset", "minilm-squad"),
            *("--repository", repository, "--dtype", "float32", "--device", "cpu"),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return repository


@pytest.fixture(scope="session")
def server(
    model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server with the embedded Triton, for tests that leave it as it is."""
    log = tmp_path_factory.mktemp("server") / "server.log"
    with running_server(model_repository, log) as running:
        yield running


@pytest.fixture(scope="session")
def channel(server: RunningServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target) as connected:
        yield connected


@pytest.fixture(scope="session")
def stub(channel: grpc.Channel) -> QuestionAnsweringServiceStub:
    return QuestionAnsweringServiceStub(channel)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a measured figure, captured or not."""

    def print_now(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}")

    return print_now
