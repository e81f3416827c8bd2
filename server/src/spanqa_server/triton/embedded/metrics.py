"""The embedded Triton's own metrics, passed on with those of the server."""

import re
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

FETCH_SECONDS = 1.0
COUNTER = re.compile(r"^(# TYPE \w+) counter$", re.MULTILINE)


class TritonMetrics(Collector):
    """Triton's metrics, fetched when ours are; none while it is away."""

    def __init__(self, address: str) -> None:
        self._address = address

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask a Triton that is about to start."""
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            page = fetch(self._address)
            # For a counter the library would add _total to Triton's name.
            yield from text_string_to_metric_families(COUNTER.sub(r"\1 untyped", page))
        except (OSError, HTTPException, ValueError):
            return


def pass_on(address: str, registry: CollectorRegistry) -> None:
    """Add the metrics of the Triton at this address, if there is one."""
    if address:
        registry.register(TritonMetrics(address))


class SocketConnection(HTTPConnection):
    """HTTP on a socket of the file system."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=FETCH_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def fetch(address: str) -> str:
    """Triton's page of metrics; raises OSError, HTTPException or ValueError.

    The address is unix:PATH:NUMBER. Triton wants the number and does not use it.
    """
    connection = SocketConnection(address.removeprefix("unix:").rpartition(":")[0])
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()
