"""Sections one after the other in a worker process that may be lost; no torch here."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from time import monotonic
from typing import Any

from gpu.options import Deadline, Options, Row

MARGIN = 0.85  # of a section's time is for measuring, the rest to come to an end
IDLE_SECONDS, STOP_SECONDS = 2.0, 20.0


@dataclass(slots=True)
class Result:
    """What came of a section: "done", "missing", "failed" or "out of time", and its rows."""

    status: str = "out of time"
    reason: str = ""
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)

    def told(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.status}{reason}, {len(self.rows)} rows in {self.seconds:.0f} s"


class Runner:
    """Runs sections; a worker that hangs, crashes or is broken is replaced."""

    def __init__(self, options: Options) -> None:
        self.machine: dict[str, object] = {}
        self._options = options
        self._worker: tuple[BaseProcess, Connection] | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *args: object) -> None:
        self._end_worker()

    def start(self, deadline: Deadline) -> str:
        """Start a worker unless there is one; what stops it from working, or nothing."""
        if self._worker:
            return ""
        from gpu.worker import serve

        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=serve, args=(theirs, self._options), daemon=True)
        process.start()
        theirs.close()
        self._worker = process, ours
        try:
            message = self._receive(deadline)
        except (EOFError, OSError):
            message = ("failed", f"its process ended with exit code {self._exit_code()}")
        if message and message[0] == "machine":
            self.machine = message[1]
            return ""
        self._end_worker()
        return str(message[1]) if message else "its process did not start in time"

    def run(self, name: str, seconds: float) -> Result:
        """One section, within these seconds."""
        begin, deadline, result = monotonic(), Deadline.after(seconds), Result()
        if reason := self.start(deadline):
            return Result("failed", reason, monotonic() - begin)
        assert self._worker
        try:
            self._worker[1].send((name, deadline.left() * MARGIN))
            while (message := self._receive(deadline)) and message[0] == "row":
                result.rows.append(message[1])
                print(f"  {progress(message[1])}", file=sys.stderr, flush=True)
            if message:
                result.status, result.reason = message
        except (EOFError, OSError):
            result.status = "failed"
            result.reason = f"its process ended with exit code {self._exit_code()}"
        if result.status == "out of time" or not self._worker[0].is_alive():
            self._end_worker()
        result.seconds = monotonic() - begin
        return result

    def _receive(self, deadline: Deadline) -> tuple[str, Any] | None:
        """The worker's next message, or None when there was no time for one."""
        assert self._worker
        if not self._worker[1].poll(deadline.left()):
            return None
        kind, content = self._worker[1].recv()
        return kind, content

    def _exit_code(self) -> int | None:
        assert self._worker
        self._worker[0].join(STOP_SECONDS)
        return self._worker[0].exitcode

    def _end_worker(self) -> None:
        """End it in its own way, so that what it started ends too, else by force."""
        if not self._worker:
            return
        process, connection = self._worker
        with contextlib.suppress(OSError):
            connection.send(None)  # one that waits for work ends by that
        process.join(IDLE_SECONDS)
        process.terminate()
        process.join(STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        connection.close()
        self._worker = None


def progress(row: Row) -> str:
    """A row's name and how it did."""
    name, rate = next(iter(row.values())), row.get("windows_per_second")
    return f"{name}: {row['failed']}" if rate is None else f"{name}: {rate:,.4g} windows/s"
