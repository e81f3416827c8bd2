"""The proxy that is shipped, with its configuration, in front of frontends of a test."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import yaml

from support.board import DOCKER
from support.certificates import Certificates
from support.processes import BIN, free_port, open_channel, poll

ENVOY = str(BIN / "envoy")
SHIPPED = DOCKER / "envoy"
# Where containers have its files, and the certificates.
THERE, CERTIFICATES = "/etc/envoy", "/certificates"


@dataclass
class RunningProxy:
    """Envoy, and what its callers need."""

    process: subprocess.Popen[bytes]
    target: str
    certificates: Certificates
    log: Path
    metrics_port: int
    admin_port: int

    @property
    def ca(self) -> Path:
        return self.certificates.directory / "ca.pem"

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.target.rpartition(":")
        return host, int(port)

    def channel(self, shown: tuple[bytes, bytes] | None = None) -> grpc.Channel:
        """A connection of its own; `shown` is a client's key and certificate."""
        key, chain = shown or (None, None)
        trusted = self.ca.read_bytes()
        return open_channel(self.target, grpc.ssl_channel_credentials(trusted, key, chain))

    def page(self, path: str = "/metrics") -> tuple[int, str]:
        """The status and the text of what Prometheus reads."""
        with contextlib.closing(HTTPConnection("127.0.0.1", self.metrics_port, timeout=5)) as http:
            http.request("GET", path)
            response = http.getresponse()
            return response.status, response.read().decode()

    def count(self, metric: str, label: str = "") -> float:
        """A metric, of all lines with this label together."""
        lines = (line.rpartition(" ") for line in self.page()[1].splitlines() if line[:1] != "#")
        return sum(
            float(value)
            for name, _, value in lines
            if name.partition("{")[0] == metric and label in name
        )

    @property
    def healthy(self) -> int:
        """Frontends that get calls."""
        return int(self.count("envoy_cluster_membership_healthy", '"frontends"'))


def configured(
    directory: Path,
    listens: Mapping[int, int],
    frontends: Sequence[str],
    limits: Mapping[str, str],
    mutual: bool,
) -> Path:
    """The shipped files with other ports, frontends and certificates; `limits` are smaller ones."""
    for name in ("envoy.yaml", "certificate.yaml"):
        text = (SHIPPED / name).read_text().replace(THERE, str(directory))
        text = text.replace(CERTIFICATES, str(directory / "tls"))
        (directory / name).write_text(uncommented(text) if mutual else text)
    path = directory / "envoy.yaml"
    text = path.read_text()
    for shipped, smaller in limits.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, smaller)
    document = yaml.safe_load(text)
    for address in addresses(document):
        if address["port_value"] in listens:
            address["port_value"] = listens[address["port_value"]]
            address["address"] = "127.0.0.1"
    [cluster] = [
        one for one in document["static_resources"]["clusters"] if "frontends" in one["name"]
    ]
    cluster["load_assignment"]["endpoints"] = [
        {"lb_endpoints": [endpoint(one) for one in frontends]}
    ]
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def uncommented(text: str) -> str:
    """With the lines that ask for client certificates, as envoy.yaml says."""
    return re.sub(r"^( *)#(?=\w)", r"\1", text, flags=re.MULTILINE)


def addresses(document: Any) -> Iterator[dict[str, Any]]:
    """Every socket that is named anywhere in it."""
    if isinstance(document, list):
        for one in document:
            yield from addresses(one)
    if isinstance(document, dict):
        if "socket_address" in document:
            yield document["socket_address"]
        for one in document.values():
            yield from addresses(one)


def endpoint(address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    return {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}


@contextlib.contextmanager
def running_proxy(
    directory: Path,
    *frontends: str,
    healthy: int | None = None,
    limits: Mapping[str, str] | None = None,
    mutual: bool = False,
) -> Iterator[RunningProxy]:
    """Run it until the end of the block, from when all frontends get calls, or so many."""
    (directory / "tls").mkdir()
    certificates = Certificates.made_in(directory / "tls")
    shutil.copy(directory / "tls" / "ca.pem", directory / "tls" / "client-ca.pem")
    listens = {port: free_port() for port in (50051, 9901, 9902)}
    path = configured(directory, listens, frontends, limits or {}, mutual)
    target, log = f"127.0.0.1:{listens[50051]}", directory / "envoy.log"
    command = [ENVOY, "-c", str(path), "--concurrency", "2", "--disable-hot-restart"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        proxy = RunningProxy(process, target, certificates, log, listens[9902], listens[9901])
        poll(
            lambda: ready(proxy, len(frontends) if healthy is None else healthy),
            30,
            "a proxy that is ready",
        )
        yield proxy
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ready(proxy: RunningProxy, healthy: int) -> bool:
    assert proxy.process.poll() is None, f"the proxy ended: {proxy.log.read_text()}"
    try:
        return proxy.healthy == healthy
    except OSError:
        return False
