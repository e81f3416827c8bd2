"""A server that reads messages and answers them at a given pace, with nothing in the answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc

from spanqa_server.grpc_api.calls import SERVICE


class Pace:
    """So many turns a second, one after the other."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        now = asyncio.get_running_loop().time()
        self._next = max(self._next + self._gap, now)
        await asyncio.sleep(self._next - now)


async def serve(port: int, rate: float) -> None:
    """Serve until killed."""
    pace = Pace(rate)

    async def answer(raws: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for _ in raws:
            await pace.turn()
            yield b""

    handler: Any = grpc.stream_stream_rpc_method_handler(answer)
    methods = dict.fromkeys(SERVICE.methods_by_name, handler)
    options = [("grpc.max_receive_message_length", -1), ("grpc.http2.bdp_probe", 0)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE.full_name, methods),)
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
