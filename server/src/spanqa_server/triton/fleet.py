"""The Tritons behind one frontend: gRPC deals out the calls among those that are in use."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Collection

import grpc
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from spanqa_server.errors import StartupError
from spanqa_server.telemetry import metrics
from spanqa_server.triton.access import Access

# A call that cannot reach its Triton, or loses it, goes to the next one, until its deadline.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "inference.GRPCInferenceService", "method": "ModelInfer"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                # A server that ends cancels what is under way there.
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ],
}
# For the calls under way on a channel that is no longer used: longer than any may take.
CLOSE_SECONDS = 3600.0
OPEN = Access()


class Fleet:
    """One Triton, or several that serve the same; each can also be asked by its address.

    Make it inside a running event loop, and close it there.
    """

    def __init__(self, addresses: list[str], access: Access = OPEN) -> None:
        """Use all of them.

        Args:
            addresses: HOST:PORT each.
            access: what lets us in at all of them.

        Raises:
            StartupError: there are several, and a name does not resolve.
        """
        self.access = access
        self._used = self.addresses = list(dict.fromkeys(addresses))
        several = len(self._used) > 1
        self._resolved = {a: resolve(a) for a in self._used} if several else {}
        self._channel = self._open()
        self._channels = {
            a: open_channel(a, access) if several else self._channel for a in self._used
        }
        self._stubs = {a: GRPCInferenceServiceStub(c) for a, c in self._channels.items()}
        self._left: set[asyncio.Task[None]] = set()
        self._connect()

    def stub(self, address: str | None = None) -> GRPCInferenceServiceStub:
        """The stub of one Triton, or of those in use, in turn."""
        return self._stub if address is None else self._stubs[address]

    async def use(self, addresses: Collection[str]) -> None:
        """Give calls to these from now on, or to all if there are none of them.

        Calls under way go on. gRPC may still retry them at the Tritons that were in use before.
        """
        used = [address for address in self.addresses if address in addresses] or self.addresses
        if used == self._used:
            return
        for address in set(used) - set(self._used):  # its name may lead elsewhere by now
            with contextlib.suppress(StartupError):
                self._resolved[address] = await asyncio.to_thread(resolve, address)
        left, self._used = self._channel, used
        self._channel = self._open()
        self._connect()
        closing = asyncio.create_task(left.close(CLOSE_SECONDS))
        self._left.add(closing)
        closing.add_done_callback(self._left.discard)

    def _open(self) -> grpc.aio.Channel:
        """A channel to those in use. A single name is left to gRPC, which resolves it again."""
        if not self._resolved:
            return open_channel(self._used[0], self.access)
        addresses = [address for name in self._used for address in self._resolved[name]]
        return open_channel(target_of(list(dict.fromkeys(addresses))), self.access)

    def _connect(self) -> None:
        self._stub = GRPCInferenceServiceStub(self._channel)
        metrics.TRITONS.labels("in").set(len(self._used))
        metrics.TRITONS.labels("out").set(len(self.addresses) - len(self._used))

    async def close(self) -> None:
        """End the channels and what is under way on them."""
        for closing in self._left:
            closing.cancel()
        for channel in {self._channel, *self._channels.values()}:
            await channel.close()


def open_channel(target: str, access: Access = OPEN) -> grpc.aio.Channel:
    """A channel that notices when the other side is gone, without limits on messages."""
    return access.open(
        target,
        [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
            ("grpc.max_reconnect_backoff_ms", 1000),
            # A Triton that hangs takes connections and says nothing on them. By default gRPC
            # waits 20 s for each.
            ("grpc.min_reconnect_backoff_ms", 1000),
            # While calls wait, a connection on which nothing comes back for 13 s is given up. The
            # timeout of a ping is a setting of its own; its default is a minute.
            ("grpc.keepalive_time_ms", 7000),
            ("grpc.keepalive_timeout_ms", 6000),
            ("grpc.http2.ping_timeout_ms", 6000),
        ],
    )


def resolve(address: str) -> list[tuple[str, int]]:
    """The IP addresses and ports of a name now; raises StartupError if it has none."""
    host, _, port = address.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not a host name"
        raise StartupError(f"--triton {address}: {reason}") from None
    return [(str(entry[4][0]), int(entry[4][1])) for entry in found]


def target_of(places: list[tuple[str, int]]) -> str:
    """A gRPC target of several IP addresses. If one is IPv6, all are written that way."""
    if all(":" not in host for host, _ in places):
        return "ipv4:" + ",".join(f"{host}:{port}" for host, port in places)
    written = ((host if ":" in host else f"::ffff:{host}", port) for host, port in places)
    return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in written)
