"""The gRPC server of this process, and its health service."""

import asyncio
import logging

import grpc
from grpc_health.v1 import health

from spanqa.v1.question_answering_pb2_grpc import add_QuestionAnsweringServiceServicer_to_server
from spanqa_server.errors import bracketed, cannot_listen
from spanqa_server.grpc_api.callers import Callers
from spanqa_server.grpc_api.calls import SERVICE
from spanqa_server.grpc_api.health import Health, add_health
from spanqa_server.grpc_api.interceptors import CallInterceptor
from spanqa_server.grpc_api.message_bounds import MessageBounds
from spanqa_server.grpc_api.open_calls import OpenCalls
from spanqa_server.grpc_api.reflection import add_reflection
from spanqa_server.grpc_api.servicer import Models, QuestionAnsweringServicer
from spanqa_server.processes.descriptors import connections_within, raise_limit
from spanqa_server.scheduling.admission import Admission
from spanqa_server.security.bearer_tokens import BearerTokens
from spanqa_server.security.tls import TlsFiles, server_credentials
from spanqa_server.settings import Settings
from spanqa_server.triton_settings import INT32_MAX

logger = logging.getLogger(__name__)

SERVICES = ("", SERVICE.full_name)
# Of TLS and of HTTP/2, together.
HANDSHAKE_MS = 10_000


class GrpcServer:
    """Takes calls on the port, and reports by the health service whether it serves."""

    def __init__(
        self,
        settings: Settings,
        models: Models,
        admission: Admission,
        *,
        shared_port: bool = False,
    ) -> None:
        """Make the server; with `shared_port` other processes listen on the port, too."""
        self._settings = settings
        self.takes_calls = False
        self._health = Health(SERVICES)
        tokens = BearerTokens(settings.tokens_file) if settings.tokens_file else None
        tls = tls_files(settings)
        self._credentials = server_credentials(tls) if tls else None
        self._server = grpc.aio.server(
            interceptors=[
                OpenCalls(settings.max_open_calls, settings.first_message_timeout),
                CallInterceptor(tokens, MessageBounds.of(settings)),
            ],
            options=[("grpc.so_reuseport", int(shared_port)), *options_of(settings)],
        )
        servicer = QuestionAnsweringServicer(
            models,
            admission,
            settings.default_timeout,
            settings.max_batch_items,
            settings.max_stream_pairs,
            max(settings.max_timeout, settings.default_timeout),
            settings.max_id_bytes,
            Callers(tokens, certificates=settings.tls_client_ca is not None),
        )
        add_QuestionAnsweringServiceServicer_to_server(servicer, self._server)
        add_health(self._server, self._health)
        if settings.reflection:
            add_reflection(self._server, (SERVICE.full_name, health.SERVICE_NAME))

    def bind(self) -> None:
        """Take the port; connections wait there until `start`.

        Raises:
            StartupError: the port is in use, or the address is not of this machine.
        """
        address = f"{bracketed(self._settings.host)}:{self._settings.port}"
        try:
            if self._credentials:
                port = self._server.add_secure_port(address, self._credentials)
            else:
                port = self._server.add_insecure_port(address)
        except RuntimeError:
            port = 0
        if port == 0:
            raise cannot_listen(self._settings.host, self._settings.port)
        logger.info("listening on port %d", port)

    async def start(self) -> None:
        """Take calls, NOT_SERVING at first."""
        await self._server.start()
        self.takes_calls = True

    async def report(self, *, serving: bool) -> None:
        """Set the status of the health service."""
        await self._health.report(serving=serving)

    async def stop(self, *, drain: bool) -> None:
        """Say NOT_SERVING for good, take calls a while longer, then let those under way end."""
        await self._health.end()
        if drain and self.takes_calls:
            await asyncio.sleep(self._settings.drain_seconds)
        await self._server.stop(self._settings.shutdown_grace)


def options_of(settings: Settings) -> list[tuple[str, int]]:
    """What gRPC itself bounds: sizes, times, connections, and what a connection may ask of it."""
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        # gRPC would take megabytes of each call in advance where the network is fast.
        ("grpc.http2.bdp_probe", 0),
        # Clients may ping every 10 s, with or without a call under way.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_connection_age_ms", milliseconds(settings.max_connection_age)),
        ("grpc.max_connection_age_grace_ms", milliseconds(settings.max_connection_grace)),
        ("grpc.max_connection_idle_ms", milliseconds(settings.max_connection_idle)),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        (
            "grpc.max_allowed_incoming_connections",
            connections_within(settings.max_connections, raise_limit()),
        ),
        ("grpc.max_concurrent_streams", settings.max_calls_per_connection),
        # A call that its client resets counts until the client has answered a ping, and
        # connections take turns with each call: floods of resets leave something to others.
        ("grpc.http2.ping_on_rst_stream_percent", 100),
        ("grpc.http2.max_requests_per_read", 1),
    ]


def tls_files(settings: Settings) -> TlsFiles | None:
    """Those of the settings, if any."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def milliseconds(seconds: float) -> int:
    """A time limit for gRPC, to which the largest number means none, as 0 does here."""
    return min(round(seconds * 1e3), INT32_MAX) if seconds else INT32_MAX
