"""What lets this server in at Tritons that are closed: TLS and a token."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc

from spanqa_server.errors import StartupError
from spanqa_server.security.renewed import RenewedFiles, check_file
from spanqa_server.triton_settings import TritonSettings

REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


@dataclass(frozen=True, slots=True)
class Access:
    """How channels to Tritons are opened; by default in plain text, without a token."""

    credentials: grpc.ChannelCredentials | None = None
    server_name: str = ""
    """What the Tritons' certificates must bear; empty means the host of each address."""
    token: RenewedFiles[str] | None = None

    def open(self, target: str, options: list[tuple[str, Any]]) -> grpc.aio.Channel:
        """A channel with these options."""
        interceptors = [Bearer(self.token)] if self.token else None
        if self.credentials is None:
            return grpc.aio.insecure_channel(target, options, interceptors=interceptors)
        if self.server_name:
            options = [*options, ("grpc.ssl_target_name_override", self.server_name)]
        return grpc.aio.secure_channel(target, self.credentials, options, interceptors=interceptors)

    def why_closed(self, error: grpc.aio.AioRpcError) -> str:
        """The setting that may be wrong if a Triton gives this error; empty if none is likely."""
        details = (error.details() or "").lower()
        if error.code() in REFUSED:
            return "it refuses the call: check --triton-token-file"
        if "wrong_version_number" in details:
            return "it expects plain text: leave out --triton-ca, --triton-tls and certificates"
        if "handshake failed" in details or "verification check failed" in details:
            return "TLS fails: check --triton-ca, --triton-certificate and --triton-server-name"
        if "socket closed" not in details:
            return ""
        if self.credentials is None:
            return "it ends each connection: if it expects TLS, give --triton-ca or --triton-tls"
        return "it ends each connection: check --triton-certificate and --triton-key"


class Bearer(grpc.aio.UnaryUnaryClientInterceptor):
    """Sends the token of a file, as it is by then."""

    def __init__(self, token: RenewedFiles[str]) -> None:
        self._token = token

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        self._token.renew()
        given = client_call_details
        metadata = grpc.aio.Metadata(*(given.metadata or ()))
        metadata.add("authorization", f"Bearer {self._token.content}")
        details = grpc.aio.ClientCallDetails(
            given.method, given.timeout, metadata, given.credentials, given.wait_for_ready
        )
        return await continuation(details, request)


def access_to(settings: TritonSettings) -> Access:
    """The access that the settings describe.

    Raises:
        StartupError: a file cannot be used.
    """
    token = None
    if file := settings.triton_token_file:
        token = RenewedFiles("token file", [file], partial(read_token, file), secret=[file])
    return Access(credentials_of(settings), settings.triton_server_name, token)


def credentials_of(settings: TritonSettings) -> grpc.ChannelCredentials | None:
    """None means plain text; raises StartupError if a file cannot be used."""
    ca, certificate, key = (
        settings.triton_ca,
        settings.triton_certificate,
        settings.triton_key,
    )
    if not settings.triton_uses_tls:
        return None
    try:
        for file in filter(None, (ca, certificate, key)):
            check_file("TLS file for Triton", file, secret=file == key)
        # gRPC itself would report bad files late, and only in a log.
        context = ssl.create_default_context(cafile=ca)
        if certificate:
            context.load_cert_chain(certificate, key, password="")
        pem = [file.read_bytes() if file else None for file in (ca, key, certificate)]
    except (OSError, ValueError) as error:  # ssl's are OSErrors
        names = ", ".join(str(file) for file in (ca, certificate, key) if file)
        raise StartupError(f"cannot use the TLS files for Triton {names}: {error}") from None
    return grpc.ssl_channel_credentials(*pem)


def read_token(file: Path) -> str:
    """Raises OSError, or ValueError where the file has no token, or more than that."""
    words = file.read_text(encoding="utf-8-sig").split()
    if len(words) != 1 or not all("!" <= character <= "~" for character in words[0]):
        raise ValueError("it must hold one token of ASCII characters and nothing else")
    return words[0]
