"""The channel settings of both clients: target, limits, retries, keepalive, metadata."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

DEFAULT_TARGET = "localhost:50051"
DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024

ChannelOptions = Sequence[tuple[str, Any]]
Metadata = tuple[tuple[str, str | bytes], ...]

# In the order in which gRPC looks for them.
_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXY_VARIABLES = ("no_grpc_proxy", "no_proxy")
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
    """Returns the timeout, in seconds; raises ValueError unless it is positive and finite."""
    if timeout is not None and not (math.isfinite(timeout) and timeout > 0):
        raise ValueError(f"timeout is {timeout}: it must be a positive number of seconds, or None")
    return timeout


def checked_target(target: str) -> str:
    """Returns the target; raises TypeError or ValueError if it cannot be one."""
    if not isinstance(target, str):
        raise TypeError(f"target must be a str, not {type(target).__name__}")
    if not target or any(character.isspace() for character in target):
        raise ValueError(f"target is {target!r}: it must be HOST:PORT")
    if target.startswith(("http://", "https://")):
        raise ValueError(f"target is {target!r}: leave out the scheme, HOST:PORT is enough")
    # gRPC takes the port modulo 65536 and would connect to another server.
    port = target.rpartition(":")[2]
    if port.isdecimal() and int(port) > 65535 and not target.startswith("unix"):
        raise ValueError(f"target is {target!r}: the port is over 65535")
    return target


def call_metadata(metadata: Iterable[tuple[str, str | bytes]], token: str | None) -> Metadata:
    """The metadata of each call, with the bearer token; raises ValueError for a bad token."""
    pairs = tuple((key.lower(), value) for key, value in metadata)
    if token is None:
        return pairs
    if not token or not all("!" <= character <= "~" for character in token):
        raise ValueError("token must be printable ASCII without spaces (a newline at its end?)")
    return (*pairs, ("authorization", f"Bearer {token}"))


def proxy_of(target: str) -> str:
    """The proxy that gRPC would take to a target, as ``http_proxy=http://...``; or nothing."""
    host = _host(target)
    named = next((name for name in _PROXY_VARIABLES if os.environ.get(name)), None)
    exceptions = next(filter(None, map(os.environ.get, _NO_PROXY_VARIABLES)), "")
    if named is None or _is_loopback(host) or target.startswith("unix"):
        return ""
    if proxy_bypass_environment(host, {"no": exceptions}):
        return ""
    return f"{named}={os.environ[named]}"


def _host(target: str) -> str:
    return target.rpartition("/")[2].rpartition(":")[0].strip("[]")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
        # No proxy reaches this machine's own loopback.
        "grpc.enable_http_proxy": int(not _is_loopback(_host(target))),
    }
    return tuple((defaults | dict(extra)).items())
