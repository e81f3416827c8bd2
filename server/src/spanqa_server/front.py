"""The gRPC server of this process, and what its health service says."""

import asyncio
import logging

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from spanqa.v1.question_answering_pb2_grpc import add_QuestionAnsweringServiceServicer_to_server
from spanqa_server.errors import StartupError
from spanqa_server.grpc_api.admission import Admission
from spanqa_server.grpc_api.calls import SERVICE
from spanqa_server.grpc_api.interceptors import CallInterceptor
from spanqa_server.grpc_api.reflection import enable_reflection
from spanqa_server.grpc_api.servicer import Models, QuestionAnsweringServicer
from spanqa_server.grpc_api.tokens import BearerTokens
from spanqa_server.settings import Settings
from spanqa_server.spread import deal_out_connections
from spanqa_server.tls import Certificates, TlsFiles
from spanqa_server.triton_settings import INT32_MAX

logger = logging.getLogger(__name__)

SERVICES = ("", SERVICE.full_name)
SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


class GrpcFront:
    """Takes calls on the port, and says that it serves while it is told so."""

    def __init__(
        self, settings: Settings, models: Models, admission: Admission, sharers: int = 1
    ) -> None:
        """Make the server; `sharers` is how many processes have the port in common."""
        self._settings = settings
        self._sharers = sharers
        self.takes_calls = False
        self._status = health.aio.HealthServicer()
        tokens = BearerTokens(settings.tokens_file) if settings.tokens_file else None
        self._certificates = certificates(settings)
        self._server = grpc.aio.server(
            interceptors=[CallInterceptor(tokens)],
            options=[
                ("grpc.so_reuseport", int(sharers > 1)),
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # Clients may ping every 10 s, with or without a call under way.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.max_connection_age_ms", milliseconds(settings.max_connection_age)),
            ],
        )
        servicer = QuestionAnsweringServicer(
            models,
            admission,
            settings.default_timeout,
            settings.max_batch_items,
            settings.max_stream_pairs,
        )
        add_QuestionAnsweringServiceServicer_to_server(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._status, self._server)
        if settings.reflection:
            enable_reflection(self._server, (SERVICE.full_name, health.SERVICE_NAME))

    def bind(self) -> None:
        """Take the port, on which connections wait from now on.

        Raises:
            StartupError: the port is in use, or the address is not of this machine.
        """
        address = f"{bracketed(self._settings.host)}:{self._settings.port}"
        try:
            if self._certificates:
                credentials = self._certificates.credentials()
                port = self._server.add_secure_port(address, credentials)
            else:
                port = self._server.add_insecure_port(address)
        except RuntimeError:
            port = 0
        if port == 0:
            raise cannot_listen(self._settings)
        if self._sharers > 1:
            deal_out_connections(port, self._sharers)
        logger.info("listening on port %d", port)

    async def start(self) -> None:
        """Take calls, as one that does not serve yet."""
        await self.tell(False)
        await self._server.start()
        self.takes_calls = True

    async def tell(self, ready: bool) -> None:
        """Say by the health service whether calls can be answered."""
        for name in SERVICES:
            await self._status.set(name, SERVING if ready else NOT_SERVING)

    async def stop(self, *, drain: bool) -> None:
        """Say NOT_SERVING for good, take calls a while yet, and let those under way go on."""
        await self._status.enter_graceful_shutdown()
        if drain and self.takes_calls:
            await asyncio.sleep(self._settings.drain_seconds)
        await self._server.stop(self._settings.shutdown_grace)


def certificates(settings: Settings) -> Certificates | None:
    """Those of the settings, if any; raises StartupError where they cannot be used."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    files = TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    return Certificates(files)


def milliseconds(seconds: float) -> int:
    """For gRPC, to which the largest number is for ever."""
    return min(round(seconds * 1e3), INT32_MAX) if seconds else INT32_MAX


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def cannot_listen(settings: Settings) -> StartupError:
    return StartupError(
        f"cannot listen on {bracketed(settings.host)}:{settings.port}: the port is in use or the "
        "address is not of this machine; choose others with --port and --host"
    )
