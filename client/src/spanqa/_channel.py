"""The channel settings of both clients: limits, retries, keepalive, metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from spanqa._errors import DeadlineExceededError
from spanqa._target import is_loopback

DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024

ChannelOptions = Sequence[tuple[str, Any]]
Metadata = tuple[tuple[str, str | bytes], ...]

_SERVICE = "spanqa.v1.QuestionAnsweringService"
# Without StreamAnswer: grpcio 1.85 loses a message of some streams that it retries, or aborts.
_RETRIED_METHODS = ("Answer", "BatchAnswer", "AnswerFromDocuments", "ComputeLogits", "GetModel")
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": _SERVICE, "method": method} for method in _RETRIED_METHODS],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                # A server that shuts down cancels new calls. All methods can be repeated safely.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
}


def checked_timeout(timeout: float | None) -> float | None:
    """Returns a client's timeout, in seconds; raises ValueError unless positive and finite."""
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"timeout is {timeout}: it must be a positive number of seconds, or None")
    return timeout


def remaining(timeout: float | None) -> float | None:
    """Returns the timeout of one call, in seconds, which may be what is left of a longer one.

    Raises:
        DeadlineExceededError: Nothing is left.
        ValueError: It is infinite, or not a number.
    """
    if timeout is not None and math.isfinite(timeout) and timeout <= 0:
        raise DeadlineExceededError(f"the timeout had run out before the call: {timeout:g} s")
    return checked_timeout(timeout)


def call_metadata(metadata: Iterable[tuple[str, str | bytes]], token: str | None) -> Metadata:
    """The metadata of each call, with the bearer token; raises ValueError for a bad token."""
    pairs = tuple((key.lower(), value) for key, value in metadata)
    if token is None:
        return pairs
    if not token or not all("!" <= character <= "~" for character in token):
        raise ValueError("token must be printable ASCII without spaces (a newline at its end?)")
    return (*pairs, ("authorization", f"Bearer {token}"))


def channel_options(target: str, max_message_bytes: int, extra: ChannelOptions) -> ChannelOptions:
    """The channel's options, with those of the caller, which win."""
    if max_message_bytes <= 0:
        raise ValueError(f"max_message_bytes is {max_message_bytes}: it must be positive")
    defaults: dict[str, Any] = {
        "grpc.max_send_message_length": max_message_bytes,
        "grpc.max_receive_message_length": max_message_bytes,
        "grpc.enable_retries": 1,
        # Larger messages are not retried; the default of 256 KiB would exclude long contexts.
        "grpc.per_rpc_retry_buffer_size": max_message_bytes,
        "grpc.service_config": json.dumps(_SERVICE_CONFIG),
        # Pings only during calls, half as often as the server allows (every 10 s).
        "grpc.keepalive_time_ms": 20_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.keepalive_permit_without_calls": 0,
        # A server that was away is found again soon; gRPC would wait up to two minutes.
        "grpc.max_reconnect_backoff_ms": 10_000,
        # No proxy reaches this machine's own loopback.
        "grpc.enable_http_proxy": int(not is_loopback(target)),
    }
    return tuple((defaults | dict(extra)).items())
