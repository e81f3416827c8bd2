"""A child process that is kept running: started again when it dies, ended with this one."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spanqa_server.processes.output import ProcessOutput

logger = logging.getLogger(__name__)

LAST_WORDS_SECONDS = 1.0
FIRST_BACKOFF, LAST_BACKOFF = 0.25, 10.0
LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Program:
    """A command and its environment."""

    command: list[str]
    environment: dict[str, str]


class Supervised:
    """One process, started again when it dies, until `stop`."""

    def __init__(
        self,
        name: str,
        prepare: Callable[[], Program],
        *,
        stop_seconds: float,
        orphan_signal: signal.Signals = signal.SIGTERM,
        read_line: Callable[[str], None] | None = None,
        last_words: Callable[[], str] = str,
        on_end: Callable[[int], None] = lambda pid: None,
    ) -> None:
        """Nothing starts yet.

        Args:
            name: its name in the log.
            prepare: called before each start, for the command.
            stop_seconds: how long it may take to stop before it is killed.
            orphan_signal: sent to it if this process ends without having stopped it; what it
                started is killed `stop_seconds` later.
            read_line: called with each line of its output, which otherwise goes where this
                process writes.
            last_words: called for the reason when it has died; may be empty.
            on_end: called with its process id when it has died.
        """
        self._name = name
        self._prepare = prepare
        self._stop_seconds = stop_seconds
        self._orphan_signal = orphan_signal
        self._read_line = read_line
        self._last_words = last_words
        self._on_end = on_end
        self._process: asyncio.SubprocessTransport | None = None
        self._output = ProcessOutput(read_line)
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id, while there is a process."""
        return self._process.get_pid() if self._process else None

    async def start(self) -> None:
        """Start the process and its watcher; raises whatever `prepare` does."""
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process and everything that it started, within `stop_seconds`."""
        if self._watcher:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        if self._process:
            if not self._output.exited.is_set():
                self._signal_group(number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._output.exited.wait(), self._stop_seconds)
            await self._kill()
            self._process = None

    async def _spawn(self) -> None:
        program = self._prepare()
        output = None if self._read_line is None else asyncio.subprocess.PIPE
        self._process, self._output = await asyncio.get_running_loop().subprocess_exec(
            lambda: ProcessOutput(self._read_line),
            *(sys.executable, "-I", "-S", str(LAUNCHER)),
            *(str(os.getpid()), str(int(self._orphan_signal)), str(self._stop_seconds)),
            *program.command,
            env=program.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output and asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        logger.info("%s starts (pid %d)", self._name, self.pid)

    async def _watch(self) -> None:
        backoff = FIRST_BACKOFF
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            try:
                await self._wait_for_end()
            except Exception:
                logger.exception("lost track of %s", self._name)
            backoff = FIRST_BACKOFF if clock() - started > 60 else min(2 * backoff, LAST_BACKOFF)
            while not await self._started_again(backoff):
                backoff = min(2 * backoff, LAST_BACKOFF)

    async def _wait_for_end(self) -> None:
        """Wait until the process ends, end what it left, and log why it ended."""
        assert self._process is not None
        await self._output.exited.wait()
        code = self._process.get_returncode()
        assert code is not None
        await self._kill()
        self._on_end(self._process.get_pid())
        self._process = None
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        last_words = self._last_words()
        logger.error("%s ended (%s)%s", self._name, how, f". {last_words}" if last_words else "")

    async def _started_again(self, backoff: float) -> bool:
        """Start it again after a pause; whether that was possible."""
        logger.info("starting %s again in %.1f s", self._name, backoff)
        await asyncio.sleep(backoff)
        try:
            await self._spawn()
        except Exception:
            logger.exception("cannot start %s", self._name)
            return False
        return True

    async def _kill(self) -> None:
        """End the process and its children, and hear their last words."""
        assert self._process is not None
        # The stub of a Triton that was killed may wait for it for ever.
        self._signal_group(signal.SIGKILL)
        await self._output.exited.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._output.closed.wait(), LAST_WORDS_SECONDS)
        self._process.close()

    def _signal_group(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.get_pid(), number)
