"""Certificates for tests: two authorities, and the files of a server and of clients."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import trustme


@dataclass
class Certificates:
    """Certificate authorities, and the files of a server."""

    directory: Path
    ours: trustme.CA
    others: trustme.CA

    @classmethod
    def made_in(cls, directory: Path) -> Certificates:
        """With a server's certificate of our authority, which signs clients' as well."""
        made = cls(directory, trustme.CA(), trustme.CA())
        made.issue(made.ours)
        made.ours.cert_pem.write_to_path(directory / "ca.pem")
        return made

    def issue(self, ca: trustme.CA, *names: str, **dates: Any) -> None:
        """The server's certificate and key, as files that replace what was there."""
        made = ca.issue_cert(*(names or ("127.0.0.1", "localhost")), **dates)
        made.private_key_pem.write_to_path(self.directory / "new")
        (self.directory / "new").chmod(0o600)
        (self.directory / "new").replace(self.directory / "key.pem")
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        (self.directory / "new").write_bytes(chain)
        (self.directory / "new").replace(self.directory / "cert.pem")

    def credentials(self, *, mutual: bool = False) -> grpc.ServerCredentials:
        """Of a server in this process, with the server's files as they are now."""
        key, chain, ca = (
            (self.directory / name).read_bytes() for name in ("key.pem", "cert.pem", "ca.pem")
        )
        return grpc.ssl_server_credentials([(key, chain)], ca if mutual else None, mutual)

    @property
    def flags(self) -> tuple[str, ...]:
        there = self.directory
        return "--tls-certificate", str(there / "cert.pem"), "--tls-key", str(there / "key.pem")

    @property
    def mutual_flags(self) -> tuple[str, ...]:
        return *self.flags, "--tls-client-ca", str(self.directory / "ca.pem")

    def show(self, name: str, ca: trustme.CA, **dates: Any) -> tuple[str, ...]:
        """The options of a client that shows a certificate, in files of this name."""
        leaf = ca.issue_cert("client@example.org", **dates)
        cert, key = self.directory / f"{name}.pem", self.directory / f"{name}-key.pem"
        leaf.private_key_pem.write_to_path(key)
        key.chmod(0o600)
        cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return "--cert", str(cert), "--key", str(key)
