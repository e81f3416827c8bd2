"""The page of metrics that Prometheus reads."""

import contextlib
import socket
from collections.abc import Callable, Iterable
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app
from prometheus_client.registry import CollectorRegistry

from spanqa_server.errors import StartupError, bracketed

# Connections at a time, each with a thread.
MOST_CONNECTIONS = 16
# That a connection may last, and that it may be silent.
CONNECTION_SECONDS, SILENT_SECONDS = 10.0, 5.0
# Before the next try, where the process has no descriptor left.
RETRY_SECONDS = 0.1


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Answers in threads of bounded number and time.

    Where all threads are taken, a new connection ends the oldest one whose request is not complete:
    whoever sends half a request keeps nobody out.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, family: socket.AddressFamily, address: tuple[Any, ...]) -> None:
        """Listen; raises OSError."""
        self.address_family = family
        self._lock = Lock()
        self._since: dict[socket.socket, float] = {}
        """The connections, in order of arrival."""
        self._complete: set[socket.socket] = set()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Without the library's question to DNS for the name of this machine."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        """The next connection; raises OSError, not at once, so that no loop spins."""
        try:
            return super().get_request()
        except OSError:
            sleep(RETRY_SECONDS)
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Make room for a new connection, or say that there is none."""
        with self._lock:
            if len(self._since) >= MOST_CONNECTIONS:
                oldest = next((one for one in self._since if one not in self._complete), None)
                if oldest is None:
                    return False
                self._end(oldest)
            self._since[request] = monotonic()
        return True

    def note_complete(self, request: socket.socket) -> None:
        """Its request is there: it gets its answer."""
        with self._lock:
            self._complete.add(request)

    def shutdown_request(self, request: Any) -> None:
        """The connection has ended."""
        with self._lock:
            self._since.pop(request, None)
            self._complete.discard(request)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections whose time is over; called now and then."""
        with self._lock:
            for request, since in list(self._since.items()):
                if monotonic() - since > CONNECTION_SECONDS:
                    self._end(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that leaves early is no matter for the log."""

    def _end(self, request: socket.socket) -> None:
        self._since.pop(request, None)
        with contextlib.suppress(OSError):  # its thread ends, and closes it
            request.shutdown(socket.SHUT_RDWR)


class Handler(WSGIRequestHandler):
    """One connection, one request; nothing is logged."""

    timeout = SILENT_SECONDS
    server: MetricsServer

    def parse_request(self) -> bool:
        """Whether there is a request to answer."""
        complete = super().parse_request()
        if complete:
            self.server.note_complete(self.connection)
        return complete

    def log_message(self, format: str, *args: Any) -> None:
        """Not in the server's log."""


def one_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Pages are made one after the other: several at once would take more time from callers."""
    lock = Lock()

    def answer(environ: Any, start_response: Any) -> Iterable[bytes]:
        with lock:
            return app(environ, start_response)

    return answer


def start_metrics(host: str, port: int, registry: CollectorRegistry) -> None:
    """Serve metrics, unless the port is 0; raises StartupError where it is in use."""
    if not port:
        return
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        server = MetricsServer(family, address)
    except OSError as error:
        raise StartupError(
            f"cannot serve metrics on {bracketed(host)}:{port} ({error.strerror}); "
            "choose another --metrics-port or --metrics-host"
        ) from None
    server.set_app(one_at_a_time(make_wsgi_app(registry)))
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
