"""Triton's metrics on the server's page."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from spanqa_server.triton.embedded.metrics import pass_on
from support.processes import free_port

PAGE = """\
# HELP nv_inference_count Number of inferences
# TYPE nv_inference_count counter
nv_inference_count{model="bert_qa",version="1"} 5
# HELP nv_inference_pending_request_count Pending
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="bert_qa",version="1"} 0
"""


def serve(body: bytes) -> Iterator[str]:
    """A page at an address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def triton() -> Iterator[str]:
    yield from serve(PAGE.encode())


@pytest.fixture
def odd_triton() -> Iterator[str]:
    yield from serve(b"nv_inference_count{ \xff")


def page(address: str) -> list[str]:
    registry = CollectorRegistry(auto_describe=True)
    pass_on(address, registry)
    return generate_latest(registry).decode().splitlines()


def test_they_keep_their_names(triton: str) -> None:
    lines = page(triton)
    assert 'nv_inference_count{model="bert_qa",version="1"} 5.0' in lines
    assert "# TYPE nv_inference_pending_request_count gauge" in lines


def test_there_are_none_while_triton_is_away() -> None:
    assert page(f"127.0.0.1:{free_port()}") == []


def test_nor_where_they_cannot_be_read(odd_triton: str) -> None:
    assert page(odd_triton) == []


def test_nor_without_a_triton_of_our_own() -> None:
    assert page("") == []
