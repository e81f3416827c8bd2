"""The embedded Triton: the tritonserver program of the nvidia-pytriton wheel, on this CPU.

It listens on sockets in a directory of this user alone, is started again when it dies, and ends
with this process.
"""

import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from spanqa_server.errors import StartupError
from spanqa_server.processes.supervised import Program, Supervised
from spanqa_server.triton.embedded.command import (
    BACKENDS,
    REPOSITORY,
    trace_flags,
    triton_command,
    triton_environment,
)
from spanqa_server.triton.embedded.wheel import link_backend, pytriton_package
from spanqa_server.triton.repository_view import RepositoryView

logger = logging.getLogger(__name__)

STOP_SECONDS = 3.0
LOAD_FAILURE = re.compile(r"failed to load '\w+' version (?P<number>\d+): (?P<reason>.*)")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
# The parts of its API that the frontend does not use. The header that would open them is no secret:
# other users do not reach the socket.
CLOSED = "model-config,model-repository,shared-memory,trace,logging"
# Linux takes no longer path of a socket.
LONGEST_SOCKET = 107
ERROR = re.compile(r"^(?:error|E\d{4}).*?[:\]] (?!.*Cuda)(?P<reason>.*)")


class EmbeddedTriton:
    """One tritonserver process and its children, kept running until `stop`."""

    def __init__(
        self,
        model_repository: Path,
        threads: int,
        *,
        metrics: bool = False,
        otlp_endpoint: str = "",
    ) -> None:
        """Nothing starts yet.

        Args:
            model_repository: has the configuration, and the versions that will be offered.
            threads: number of the model's threads; 0 means one per core.
            metrics: whether Triton serves its own metrics, at `metrics_address`.
            otlp_endpoint: the collector of its traces; without one it sends none.
        """
        # The clients keep their address while Triton's other directory is made anew each time.
        self._sockets = Path(tempfile.gettempdir()) / f"spanqa-sockets-{secrets.token_hex(8)}"
        self.address = f"unix:{self._sockets}/grpc:1"
        self.metrics_address = f"unix:{self._sockets}/metrics:1" if metrics else ""
        self.last_lines: deque[str] = deque(maxlen=200)
        self._repository = model_repository.resolve()
        self._threads = threads
        self._otlp_endpoint = otlp_endpoint
        self._process = Supervised(
            "embedded Triton",
            self._prepare,
            stop_seconds=STOP_SECONDS,
            read_line=self._read_line,
            last_words=self.failure,
        )
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._offered: dict[str, Path] = {}
        self._load_failures: dict[str, str] = {}

    @property
    def pid(self) -> int | None:
        """The process id, while there is a process."""
        return self._process.pid

    def offer(self, versions: dict[str, Path]) -> None:
        """Let Triton have these versions, and no others, within its next poll."""
        self._offered = dict(versions)
        self._load_failures = {n: why for n, why in self._load_failures.items() if n in versions}
        if self._directory:
            self._link(Path(self._directory.name))
            # Only where Linux refuses the launcher's filter: others could open it until now.
            for region in self._regions():
                with contextlib.suppress(FileNotFoundError):
                    region.chmod(0o600)

    def load_failures(self) -> dict[str, str]:
        """Offered versions that Triton could not load, and why, in its words."""
        return self._load_failures

    async def start(self) -> None:
        """Start the process and its watcher.

        Raises:
            StartupError: the wheel is not installed or not for this platform.
        """
        await self._process.start()

    async def stop(self) -> None:
        """End the process and everything that it started, within `STOP_SECONDS`."""
        await self._process.stop()
        self._tidy()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _tidy(self) -> None:
        """Delete the last process's directory, and shared memory that it may have left."""
        if self._directory:
            self._directory.cleanup()
            for region in self._regions():
                region.unlink(missing_ok=True)

    def _regions(self) -> Iterator[Path]:
        """The shared memory of the process and its stubs, which holds requests."""
        assert self._directory
        return SHARED_MEMORY.glob(f"{Path(self._directory.name).name}*")

    def _prepare(self) -> Program:
        package = pytriton_package()
        # Anew each time: cleaners of temporary directories must not stop a restart.
        self._tidy()
        make_private(self._sockets)
        self._directory = tempfile.TemporaryDirectory(
            prefix="spanqa-triton-", ignore_cleanup_errors=True
        )
        directory = Path(self._directory.name)
        self._link(directory)
        self.last_lines.clear()
        return Program(
            [
                *triton_command(package, directory, self.address, self.metrics_address),
                f"--backend-config=python,shm-region-prefix-name={directory.name}",
                f"--grpc-restricted-protocol={CLOSED}:opened-by=nobody",
                *trace_flags(self._otlp_endpoint),
            ],
            triton_environment(package, self._threads, traces=bool(self._otlp_endpoint)),
        )

    def _link(self, directory: Path) -> None:
        """Make the links that Triton sees, as far as they are missing."""
        link_backend(pytriton_package(), directory / BACKENDS)
        RepositoryView(directory / REPOSITORY, self._repository).offer(self._offered)

    def _read_line(self, line: str) -> None:
        self.last_lines.append(line)
        if failed := LOAD_FAILURE.search(line):
            self._load_failures[failed["number"]] = failed["reason"]
        logger.debug("triton: %s", line)

    def failure(self) -> str:
        """Why it failed: the line of its output that says it best; empty if none does."""
        for pattern in (LOAD_FAILURE, ERROR):
            for line in self.last_lines:
                if found := pattern.search(line):
                    return found["reason"].strip()
        return ""


def make_private(directory: Path) -> None:
    """Make the directory of the sockets again if a cleaner took it, and empty it.

    Raises:
        StartupError: its path is too long, or it is not ours alone.
    """
    if len(os.fsencode(directory / "metrics")) > LONGEST_SOCKET:
        raise StartupError(f"{directory}: too long for sockets; set TMPDIR to a shorter path")
    directory.mkdir(mode=0o700, exist_ok=True)
    state = directory.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o077:
        raise StartupError(f"{directory}: is not a directory of this user alone; remove it")
    for left in directory.iterdir():
        left.unlink(missing_ok=True)
