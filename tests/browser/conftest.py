"""A real Chromium in front of a real playground. Without Chromium these tests are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from browser.page import Page
from support.playground import AXE, chromium, running_chromium, running_playground
from unit.client.fake_service import FakeService, first_word, running


@pytest.fixture(scope="session")
def browser(pytestconfig: pytest.Config) -> Iterator[Any]:
    missing = [
        name
        for name, found in (
            ("Chromium", chromium()),
            ("playwright", find_spec("playwright")),
            ("axe-core", AXE.exists()),
        )
        if not found
    ]
    if missing:
        reason = f"not on this machine: {', '.join(missing)}; make test-playground installs them"
        if pytestconfig.getoption("--browser"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with running_chromium() as started:
        yield started


@pytest.fixture(scope="session")
def _fake() -> Iterator[FakeService]:
    with running(FakeService()) as service:
        service.model.max_sequence_tokens = 384
        service.model.limits.max_top_k = 100
        service.model.limits.max_answer_tokens = 256
        yield service


@pytest.fixture(scope="session")
def fake_url(browser: Any, _fake: FakeService) -> Iterator[str]:
    with running_playground(_fake.target) as (url, _):
        yield url


@pytest.fixture
def fake(_fake: FakeService) -> Iterator[FakeService]:
    """The server behind the page; each test finds it as new."""
    _fake.requests.clear()
    yield _fake
    _fake.answer = first_word
    _fake.failures.clear()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens a page; at the end its console must hold no error, those of the policy included."""
    contexts: list[Any] = []
    troubles: list[str] = []

    def open_at(url: str, **context: Any) -> Page:
        made = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | context))
        contexts.append(made)
        page = made.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda line: _note(troubles, line))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(url)
        page.locator("#model strong, #problem strong").first.wait_for()
        return Page(page)

    yield open_at
    for context in contexts:
        context.close()
    assert troubles == []


def _note(troubles: list[str], line: Any) -> None:
    # A refused call is no fault of the page, but Chromium writes it as an error.
    if line.type in ("error", "warning") and "Failed to load resource" not in line.text:
        troubles.append(line.text)


@pytest.fixture
def page(open_page: Open, fake_url: str, fake: FakeService) -> Page:
    """The page in front of the fake server."""
    return open_page(fake_url)
