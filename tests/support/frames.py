"""A client that speaks HTTP/2 frame by frame, and keeps to no rule of gRPC's."""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions

ANSWER = "/spanqa.v1.QuestionAnsweringService/Answer"
STREAM = "/spanqa.v1.QuestionAnsweringService/StreamAnswer"
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"


def message(content: bytes = b"") -> bytes:
    """As gRPC frames it, not compressed."""
    return b"\0" + len(content).to_bytes(4, "big") + content


class Frames:
    """One connection, by TLS where an authority is named."""

    def __init__(self, target: str, ca: Path | None = None) -> None:
        host, _, port = target.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        self._scheme = "https" if ca else "http"
        if ca:
            context = ssl.create_default_context(cafile=ca)
            context.set_alpn_protocols(["h2"])
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._http = h2.connection.H2Connection(config)
        self._http.initiate_connection()
        self.ended: set[int] = set()
        self.codes: dict[int, int] = {}
        self.opened = 0
        self.closed = False
        self.send()

    def open(
        self,
        path: str,
        *,
        body: bytes | None = None,
        end: bool = True,
        more: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Begin a call, with nothing but headers where there is no body; its number."""
        number = self._http.get_next_available_stream_id()
        headers = [
            *(
                (":method", "POST"),
                (":scheme", self._scheme),
                (":path", path),
                (":authority", "test"),
            ),
            *(("te", "trailers"), ("content-type", "application/grpc"), *more),
        ]
        self.opened += 1
        self._http.send_headers(number, headers)
        if body is not None:
            self._http.send_data(number, body, end_stream=end)
        return number

    def more(self, number: int, parts: Sequence[bytes]) -> None:
        """Go on with a call, a frame for each part."""
        for part in parts:
            self._http.send_data(number, part)

    def reset(self, number: int) -> None:
        """End a call at once."""
        self._http.reset_stream(number)

    def send(self) -> None:
        """Send what was said before, if the connection is still there."""
        try:
            self._socket.sendall(self._http.data_to_send())
        except OSError:
            self.closed = True

    @property
    def open_calls(self) -> int:
        """How many calls have neither answer nor end yet."""
        return self.opened - len(self.ended)

    @property
    def streams_allowed(self) -> int:
        """How many calls the server takes at a time over this connection."""
        return self._http.remote_settings.max_concurrent_streams

    def read(self, within: float) -> bool:
        """Take what the server says next; whether there was something."""
        self._socket.settimeout(within)
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self._http.receive_data(data):
            if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                self.ended.add(event.stream_id)
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                headers: Any = event.headers  # text, by the configuration above
                if code := dict(headers).get("grpc-status"):
                    self.codes[event.stream_id] = int(code)
            if isinstance(event, h2.events.ConnectionTerminated):
                self.closed = True
        self.send()
        return True

    def wait(self, numbers: set[int], within: float) -> bool:
        """Whether the server has ended these calls in time, or the connection."""
        give_up = monotonic() + within
        while not numbers <= self.ended and not self.closed:
            if (left := give_up - monotonic()) <= 0:
                return False
            self.read(left)
        return True

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()


@contextlib.contextmanager
def frames(target: str, connections: int = 1, ca: Path | None = None) -> Iterator[list[Frames]]:
    """Connections, closed at the end of the block."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(connections):
            one = Frames(target, ca)
            stack.callback(one.close)
            made.append(one)
        yield made
