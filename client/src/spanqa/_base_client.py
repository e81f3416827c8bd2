"""What both clients share: their arguments, and whether they are closed."""

from __future__ import annotations

from collections.abc import Iterable

import grpc

from spanqa import _channel, _target


class BaseClient:
    """Checks and keeps the arguments; a subclass opens its kind of channel."""

    def __init__(
        self,
        target: str = _target.DEFAULT_TARGET,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout: float | None = _channel.DEFAULT_TIMEOUT_SECONDS,
        token: str | None = None,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        max_message_bytes: int = _channel.DEFAULT_MAX_MESSAGE_BYTES,
        options: _channel.ChannelOptions = (),
    ) -> None:
        """Makes a client, which connects at the first call.

        Args:
            target: ``HOST:PORT``, ``HOST`` for port 50051, or any other gRPC target name.
            credentials: The channel's credentials (TLS); None means plain text.
            timeout: Seconds that a call may take, unless the call has its own; None means no limit.
            token: Sent with each call as ``authorization: Bearer TOKEN``.
            metadata: More metadata, sent with each call.
            max_message_bytes: The largest message sent or received.
            options: gRPC channel options, which override the client's own.

        Raises:
            TypeError, ValueError: An argument cannot be used; the message names it.
            RuntimeError: An ``AsyncClient`` is made outside an event loop.
        """
        target = _target.full_target(target)
        self._timeout = _channel.checked_timeout(timeout)
        self._metadata = _channel.call_metadata(metadata, token)
        self._closed = False
        self._proxy = _target.proxy_of(target)
        self._open(
            target, credentials, _channel.channel_options(target, max_message_bytes, options)
        )

    def _open(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None,
        options: _channel.ChannelOptions,
    ) -> None:
        raise NotImplementedError

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this client is closed")

    def _seconds(self, timeout: float | None) -> float | None:
        """The time limit of a call: its own, or the client's."""
        return _channel.remaining(timeout) or self._timeout
