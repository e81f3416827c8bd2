"""One playground in front of one fake server, for tests that ask it over HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.playground import running_playground
from unit.client.fake_service import FakeService, first_word, running


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Ask = Callable[..., Reply]


@pytest.fixture(scope="module")
def _fake() -> Iterator[FakeService]:
    with running(FakeService()) as service:
        yield service


@pytest.fixture(scope="module")
def address(_fake: FakeService) -> Iterator[str]:
    """The playground's host and port."""
    with running_playground(_fake.target, "--timeout", "20") as (url, _):
        yield urlsplit(url).netloc


@pytest.fixture
def fake(_fake: FakeService) -> Iterator[FakeService]:
    """The server behind the page; each test finds it as new."""
    _fake.requests.clear()
    _fake.asked.clear()
    yield _fake
    _fake.answer = first_word
    _fake.failures.clear()


@pytest.fixture
def ask(address: str, fake: FakeService) -> Iterator[Ask]:
    """Sends one HTTP request; ``body`` is bytes or a value for JSON."""
    connection = http.client.HTTPConnection(address, timeout=30)

    def request(method: str, path: str, body: Any = None, **headers: str) -> Reply:
        sent = {"Host": address} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    yield request
    connection.close()
