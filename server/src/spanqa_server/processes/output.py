"""The output of a child process, line by line, and its end."""

import asyncio
from collections.abc import Callable

LONGEST_LINE = 65_536


class ProcessOutput(asyncio.SubprocessProtocol):
    """For `loop.subprocess_exec` with one pipe, or none.

    `exited` is set when the process ends, and `closed` when no more output can come: its own
    children may hold the pipe open for longer, or for ever.
    """

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._on_line = on_line
        self._rest = b""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LONGEST_LINE:]
        if self._on_line:
            for line in lines:
                self._on_line(line.decode(errors="replace"))

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
