"""A Triton is qualified: one that runs and is left as it is, or a program that is started here."""

from collections.abc import Generator, Iterator
from pathlib import Path
from time import time

import pytest

from support.given import Given, newest_version
from support.processes import running_server
from support.production import running_site, tail
from support.qualified import Qualified

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("triton")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the processes that ran during a test that failed."""
    report = yield
    factory = item.config.stash.get(BASE, None)
    if report.failed and factory:
        for log in sorted(factory.rglob("*.log")):
            if log.stat().st_mtime >= item.stash.get(BEGIN, 0.0):
                report.sections.append((str(log.relative_to(factory)), tail(log)))
    return report


def pytest_report_header(config: pytest.Config) -> list[str]:
    given = Given.by_options(config)
    if given.problem():
        return []
    if given.address:
        return [f"Triton: {given.address}, which is left as it is"]
    kind = f"KIND_{given.kind.upper()} in the copies of config.pbtxt"
    return [f"Triton: {given.program} with {given.backends}; {kind}"]


BASE, BEGIN = pytest.StashKey[Path](), pytest.StashKey[float]()


@pytest.fixture(autouse=True)
def _named(
    chosen: Given, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The options name one Triton; without that nothing here is tested."""
    request.node.stash[BEGIN] = time()
    request.config.stash[BASE] = tmp_path_factory.getbasetemp()


@pytest.fixture(scope="session")
def qualified(chosen: Given, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Qualified]:
    directory = tmp_path_factory.mktemp("qualified")
    if chosen.program:
        repository = chosen.copy_repository(chosen.repository, directory)
        with running_site(chosen, repository, directory) as site:
            yield Qualified.of(site)
        return
    log, flags = directory / "front.log", ("--triton", chosen.address)
    with running_server(chosen.repository, log, *flags) as front:
        version = newest_version(chosen.repository)
        yield Qualified(chosen.address, front, chosen.repository, version, None)


@pytest.fixture
def startable(chosen: Given) -> Given:
    """For tests that stop, kill or place: skipped where Triton is left as it is."""
    if chosen.address:
        pytest.skip("needs control over Triton: make test-triton TRITONSERVER=... BACKENDS=...")
    return chosen


@pytest.fixture
def repository(startable: Given, tmp_path: Path) -> Path:
    """A copy of the given repository, whose newest version is version 1."""
    return startable.copy_repository(startable.repository, tmp_path)
