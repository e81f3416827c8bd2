"""Listening on loopback, until Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from spanqa._async_client import AsyncClient
from spanqa._errors import SpanQAError
from spanqa.playground.app import create_app

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """Binds the port on loopback; 0 takes a free one. Raises OSError if it is taken."""
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def page_url(listening: socket.socket) -> str:
    """Where the page is."""
    return f"http://{HOST}:{listening.getsockname()[1]}"


async def serve(
    listening: socket.socket,
    open_client: Callable[[], AsyncClient],
    target: str,
    remedy: Callable[[SpanQAError], str],
) -> None:
    """Serves the page until the program is told to end: SIGINT, SIGTERM."""
    async with open_client() as client:
        config = uvicorn.Config(
            create_app(client, target, remedy),
            access_log=False,
            lifespan="off",
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=3,
            ws="none",
        )
        await _Server(config, client).serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Cancels the calls under way when it ends, so that it need not wait for them."""

    def __init__(self, config: uvicorn.Config, client: AsyncClient) -> None:
        super().__init__(config)
        self._client = client

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._client.close()
        await super().shutdown(sockets)
