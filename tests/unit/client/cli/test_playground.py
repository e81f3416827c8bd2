"""The command ``playground``: how it starts, what it says, how it ends."""

from __future__ import annotations

import builtins
import http.client
import json
import signal
import socket
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from support.playground import running_playground
from unit.client.cli.commands import fails, run
from unit.client.fake_service import FakeService, Handler


def test_ctrl_c_ends_it_without_a_word(service: FakeService) -> None:
    with running_playground(service.target) as (url, process):
        with urllib.request.urlopen(f"{url}/", timeout=10) as page:
            assert b"<title>SpanQA playground</title>" in page.read()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest.strip(), errors) == (0, "", "")


def test_ctrl_c_does_not_wait_for_calls(service: FakeService, never_answers: Handler) -> None:
    service.answer = never_answers
    body = {"question": "Who?", "documents": [{"text": "Ada did."}]}
    with running_playground(service.target, "--timeout", "60") as (url, process):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/answer", json.dumps(body), headers)
        assert service.asked.wait(10)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
        reply = connection.getresponse()
        assert (reply.status, json.load(reply)["code"]) == (502, "CANCELLED")
        connection.close()
    assert (process.returncode, rest.strip(), errors) == (0, "", "")


def test_it_listens_on_loopback_only(service: FakeService) -> None:
    with running_playground(service.target) as (_, process):
        listening = [
            one.laddr.ip
            for one in psutil.Process(process.pid).net_connections("tcp")
            if one.status == psutil.CONN_LISTEN
        ]
    assert listening == ["127.0.0.1"]


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        fails(run("playground", "--port", port), port, "in use", "--port")


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "spanqa.playground.serving":
            raise ModuleNotFoundError(f"No module named {missing!r}", name=f"{missing}.part")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    fails(run("playground"), missing, "pip install 'spanqa[playground]'")
