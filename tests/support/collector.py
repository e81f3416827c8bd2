"""An OpenTelemetry collector in the test: it takes OTLP over HTTP and keeps the spans."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

ERROR = 2
SERVER, CLIENT = 2, 3


@dataclass(frozen=True, slots=True)
class Span:
    """What tests look at of a span; ids in hexadecimal."""

    resource: dict[str, Any]
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    failed: bool
    attributes: dict[str, Any]


@dataclass
class Collector:
    """Where spans go, and those that have come."""

    endpoint: str
    spans: list[Span] = field(default_factory=list)
    _arrival: threading.Condition = field(default_factory=threading.Condition)

    def of(self, trace: str) -> list[Span]:
        return [span for span in self.spans if span.trace == trace]

    def take(self, spans: Iterator[Span]) -> None:
        with self._arrival:
            self.spans.extend(spans)
            self._arrival.notify_all()

    def wait_for(self, condition: Callable[[], bool], within: float = 20.0) -> None:
        """Wait until what has come is as wanted."""
        with self._arrival:
            there = self._arrival.wait_for(condition, within)
            assert there, f"not so after {within} s: {[span.name for span in self.spans]}"


@contextlib.contextmanager
def collector() -> Iterator[Collector]:
    """Listens on a port of its own until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["content-length"]))
            read = read_json if "json" in self.headers["content-type"] else read_protobuf
            collected.take(read(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collected = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collected
        finally:
            server.shutdown()
            thread.join()


def read_protobuf(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        sender = {one.key: value_of(one.value) for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    sender,
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.status.code == ERROR,
                    {one.key: value_of(one.value) for one in span.attributes},
                )


def value_of(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


def read_json(body: bytes) -> Iterator[Span]:
    for resource in json.loads(body)["resourceSpans"]:
        sender = attributes(resource["resource"])
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                yield Span(
                    sender,
                    span["name"],
                    span["traceId"],
                    span["spanId"],
                    span.get("parentSpanId", ""),
                    span["kind"],
                    span.get("status", {}).get("code") == ERROR,
                    attributes(span),
                )


def attributes(holder: dict[str, Any]) -> dict[str, Any]:
    """Each value stands under the name of its type."""
    return {one["key"]: next(iter(one["value"].values())) for one in holder.get("attributes", ())}
