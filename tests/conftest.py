"""Fixtures for tests with real processes: one model, one server for all that only ask."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from spanqa.v1.question_answering_pb2_grpc import QuestionAnsweringServiceStub
from support.given import Given, newest_version
from support.processes import RunningServer, run_model, running_server
from support.production import Site, running_site

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--clients",
        metavar="LANGUAGE,...",
        default="",
        help="examples of clients/ that must not be skipped for want of a program",
    )
    parser.addoption(
        "--browser",
        action="store_true",
        help="fail where the tests of the playground would be skipped for want of a browser",
    )
    group = parser.getgroup("triton", "the Triton to qualify (make test-triton)")
    group.addoption("--triton", metavar="HOST:PORT", help="one that runs, and is left as it is")
    group.addoption("--tritonserver", metavar="PROGRAM", help="the tests start and kill it")
    group.addoption("--backends", metavar="DIR", help="of --tritonserver: holds pytorch/")
    group.addoption(
        "--triton-repository",
        metavar="DIR",
        default=str(ROOT / "model_repository"),
        help="what --triton serves, or what --tritonserver gets copies of (model_repository)",
    )
    group.addoption(
        "--kind", choices=("gpu", "cpu"), help="of --tritonserver: gpu where /dev/nvidia0 is"
    )


@pytest.fixture(scope="session")
def given(pytestconfig: pytest.Config) -> Given:
    """The Triton of the options, if they name one."""
    return Given.by_options(pytestconfig)


@pytest.fixture(scope="session")
def chosen(given: Given) -> Given:
    """The same for tests of nothing else: they fail where the options name none."""
    if problem := given.problem():
        pytest.fail(problem, pytrace=False)
    return given


@pytest.fixture(scope="session")
def model_repository(tmp_path_factory: pytest.TempPathFactory, given: Given) -> Path:
    """A repository with the default model in float32, exported as a user would."""
    repository = tmp_path_factory.mktemp("repository")
    device = given.device if given.program else "cpu"
    run_model(
        *("export", "--preset", "minilm-squad", "--repository", repository),
        *("--dtype", "float32", "--device", device),
    )
    return repository


@pytest.fixture(scope="session")
def float32_site(
    chosen: Given, model_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The default model in float32 on the given program."""
    directory = tmp_path_factory.mktemp("float32-site")
    repository = chosen.copy_repository(model_repository, directory)
    with running_site(chosen, repository, directory) as site:
        yield site


@pytest.fixture(scope="session")
def server(
    given: Given, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """A server with the embedded Triton or the given one, for tests that leave it as it is."""
    if given.program:
        yield request.getfixturevalue("float32_site").front
        return
    log = tmp_path_factory.mktemp("server") / "server.log"
    if given.address:
        skip_unless_default(given.repository)
        repository, flags = given.repository, ["--triton", given.address]
    else:
        repository, flags = request.getfixturevalue("model_repository"), []
    with running_server(repository, log, *flags) as running:
        yield running


def skip_unless_default(repository: Path) -> None:
    """Such tests know the default model's answers, and compare them up to float32's rounding."""
    newest = newest_version(repository)
    found = (newest.manifest.name, newest.manifest.dtype, newest.number)
    if found != ("minilm-squad", "float32", "1"):
        pytest.skip(f"made for minilm-squad in float32 as version 1; --triton serves {found}")


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
