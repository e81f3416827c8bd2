"""gRPC reflection that knows methods by name, too.

Python's descriptor pool finds no file for a method's name; ghz and `grpcurl describe` ask for it.
"""

from __future__ import annotations

import contextlib
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection


class _Pool:
    """The default pool, and files by their methods."""

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802
        with contextlib.suppress(KeyError):
            return self._pool.FindFileContainingSymbol(symbol)  # type: ignore[no-any-return]
        return self._pool.FindMethodByName(symbol).containing_service.file  # type: ignore[no-any-return]


def enable_reflection(server: grpc.aio.Server, services: tuple[str, ...]) -> None:
    """Serve reflection for these services and for itself."""
    names = (*services, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=_Pool())
