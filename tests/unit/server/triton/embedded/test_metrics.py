"""Triton's metrics on the server's page. That of a real one: tests/integration/test_board.py."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from spanqa_server.triton.embedded.metrics import pass_on

PAGE = b"""\
# HELP nv_inference_count Number of inferences
# TYPE nv_inference_count counter
nv_inference_count{model="bert_qa",version="1"} 5
"""


class Handler(BaseHTTPRequestHandler):
    body = PAGE

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def triton(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "metrics")
    with UnixStreamServer(path, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"unix:{path}:1"
        server.shutdown()
        thread.join()


def test_there_are_metrics_while_triton_tells_them(
    triton: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = CollectorRegistry(auto_describe=True)
    pass_on(triton, registry)
    # Under Triton's own name: the library would add _total to that of a counter.
    line = 'nv_inference_count{model="bert_qa",version="1"} 5.0'
    assert line in generate_latest(registry).decode().splitlines()
    monkeypatch.setattr(Handler, "body", b"nv_inference_count{ \xff")
    assert generate_latest(registry) == b""


@pytest.mark.parametrize("address", ["unix:/nowhere/metrics:1", ""], ids=["away", "not ours"])
def test_there_are_none_without_triton(address: str) -> None:
    registry = CollectorRegistry(auto_describe=True)
    pass_on(address, registry)
    assert generate_latest(registry) == b""
