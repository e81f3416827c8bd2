"""TLS from files, which are read again when they change."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from spanqa_server.security.renewed import RenewedFiles


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the chain of certificates, its key, and who signs clients' (mutual TLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        return [path for path in (self.certificate, self.key, self.client_ca) if path]

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Read the files and check that they belong together; raises OSError (ssl's are)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if self.client_ca:
            context.load_verify_locations(self.client_ca)
        return grpc.ssl_server_certificate_configuration(
            [(self.key.read_bytes(), self.certificate.read_bytes())],
            self.client_ca.read_bytes() if self.client_ca else None,
        )


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials for the server's port. Each handshake uses the files as they are by then.

    Raises:
        StartupError: they cannot be used.
    """
    renewed = RenewedFiles("TLS files", files.paths, files.read, secret=[files.key])

    def changed() -> grpc.ServerCertificateConfiguration | None:
        return renewed.content if renewed.renew() else None

    return grpc.dynamic_ssl_server_credentials(
        renewed.content,
        changed,  # type: ignore[arg-type]  # None, says gRPC, where nothing is new
        files.client_ca is not None,
    )
