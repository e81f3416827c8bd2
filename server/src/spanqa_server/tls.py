"""TLS from files, which are read again when they change."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from spanqa_server.errors import StartupError

logger = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int], ...]


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

    def stamp(self) -> Stamp:
        """Differs when a file does; raises OSError where one is missing."""
        states = [path.stat() for path in self.paths]
        return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)

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


class Certificates:
    """What a handshake uses: the files as they are now, or as they last were good."""

    def __init__(self, files: TlsFiles) -> None:
        """Read them; raises StartupError where that fails."""
        self._files = files
        try:
            self._stamp = files.stamp()
            self._configuration = files.read()
        except OSError as error:
            names = ", ".join(map(str, files.paths))
            raise StartupError(f"cannot use the TLS files {names}: {error}") from None

    def credentials(self) -> grpc.ServerCredentials:
        """For the server's port."""
        return grpc.dynamic_ssl_server_credentials(
            self._configuration,
            self.renewed,  # type: ignore[arg-type]  # None, says gRPC, where nothing is new
            self._files.client_ca is not None,
        )

    def renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """The new ones, once, where the files have changed and are good; else None."""
        try:
            stamp = self._files.stamp()
            if stamp == self._stamp:
                return None
            self._configuration = self._files.read()
        except OSError as error:  # being written, or wrong: the next handshake looks again
            logger.error("the TLS files have changed and cannot be used: %s", error)
            return None
        self._stamp = stamp
        logger.info("the TLS files have changed; new connections use them")
        return self._configuration
