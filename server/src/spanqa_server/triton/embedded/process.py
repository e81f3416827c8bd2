"""The embedded Triton: the tritonserver program of the nvidia-pytriton wheel, on this CPU.

It listens on loopback only, is started again when it dies, and ends with this process.
"""

import logging
import os
import re
import secrets
import socket
import sys
import sysconfig
import tempfile
from collections import deque
from pathlib import Path

from spanqa_server.errors import StartupError
from spanqa_server.processes.supervised import Program, Supervised
from spanqa_server.triton.repository_view import (
    link_backend,
    link_configurations,
    link_versions,
    view_of,
)

logger = logging.getLogger(__name__)

STOP_SECONDS = 3.0
LOAD_FAILURE = re.compile(r"failed to load '\w+' version (?P<number>\d+): (?P<reason>.*)")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
# What the frontend does not use; the header that opens it has a random value.
CLOSED = "model-config,model-repository,shared-memory,trace,logging"
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
            model_repository: where versions are that will be offered.
            threads: of the model; 0: one a core.
            metrics: give out Triton's own, at `metrics_address`.
            otlp_endpoint: the collector for traces, if there is one.
        """
        self.address = f"127.0.0.1:{free_port()}"
        self.metrics_address = f"127.0.0.1:{free_port()}" if metrics else ""
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

    def _tidy(self) -> None:
        """Take away what a process had; one that was killed leaves its shared memory, too."""
        if self._directory:
            self._directory.cleanup()
            for region in SHARED_MEMORY.glob(f"{Path(self._directory.name).name}*"):
                region.unlink(missing_ok=True)

    def _prepare(self) -> Program:
        package = pytriton_package()
        # Anew each time: cleaners of temporary directories must not stop a restart.
        self._tidy()
        self._directory = tempfile.TemporaryDirectory(
            prefix="spanqa-triton-", ignore_cleanup_errors=True
        )
        self._link(Path(self._directory.name))
        self.last_lines.clear()
        directory = Path(self._directory.name)
        return Program(
            [
                *triton_command(package, directory, self.address, self.metrics_address),
                f"--backend-config=python,shm-region-prefix-name={directory.name}",
                f"--grpc-restricted-protocol={CLOSED}:closed={secrets.token_hex(16)}",
                *trace_flags(self._otlp_endpoint),
            ],
            triton_environment(package, self._threads),
        )

    def _link(self, directory: Path) -> None:
        """Lay out what Triton sees, or what is missing of it."""
        link_backend(pytriton_package(), directory)
        view = view_of(directory)
        link_configurations(view, self._repository / view.name)
        link_versions(view, self._offered)

    def _read_line(self, line: str) -> None:
        self.last_lines.append(line)
        if failed := LOAD_FAILURE.search(line):
            self._load_failures[failed["number"]] = failed["reason"]
        logger.debug("triton: %s", line)

    def failure(self) -> str:
        """The most telling of Triton's last lines, or nothing."""
        for pattern in (LOAD_FAILURE, ERROR):
            for line in self.last_lines:
                if found := pattern.search(line):
                    return found["reason"].strip()
        return ""


def pytriton_package() -> Path:
    """Where the wheel put its tritonserver.

    Raises:
        StartupError: it did not.
    """
    for entry in dict.fromkeys((sysconfig.get_path("platlib"), *sys.path)):
        package = Path(entry or ".") / "pytriton" / "tritonserver"
        if (package / "bin" / "tritonserver").is_file():
            return package
    raise StartupError(
        "the embedded Triton is not installed (wheel nvidia-pytriton, Linux x86-64 only): "
        "pip install 'spanqa-server[embedded]', or name a Triton server with --triton HOST:PORT"
    )


def triton_command(
    package: Path, directory: Path, address: str, metrics_address: str = ""
) -> list[str]:
    host, _, port = address.rpartition(":")
    return [
        str(package / "bin" / "tritonserver"),
        f"--model-repository={directory / 'repository'}",
        "--model-config-name=embedded",
        "--model-control-mode=poll",
        "--repository-poll-secs=1",
        "--disable-auto-complete-config",
        f"--backend-directory={directory / 'backends'}",
        f"--grpc-address={host}",
        f"--grpc-port={port}",
        "--allow-http=false",
        *metrics_flags(metrics_address),
        "--exit-timeout-secs=2",
        "--log-info=false",
        "--log-warning=false",
    ]


def metrics_flags(address: str) -> list[str]:
    """For metrics of the model at this address; none without one."""
    if not address:
        return ["--allow-metrics=false"]
    host, _, port = address.rpartition(":")
    return [
        "--allow-metrics=true",
        f"--metrics-address={host}",
        f"--metrics-port={port}",
        "--allow-gpu-metrics=false",
        "--allow-cpu-metrics=false",
    ]


def trace_flags(endpoint: str) -> list[str]:
    """For spans of the requests that come with a trace context, and of no others."""
    if not endpoint:
        return []
    settings = {
        "mode": "opentelemetry",
        "opentelemetry,url": f"{endpoint}/v1/traces",
        "level": "TIMESTAMPS",
        "rate": "0",
    }
    return [f"--trace-config={name}={value}" for name, value in settings.items()]


def triton_environment(package: Path, threads: int) -> dict[str, str]:
    """The stub needs the wheel's libraries, libpython, and this environment's packages."""
    site_packages = package.parent.parent
    libraries = [str(site_packages / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]
    environment = dict(os.environ)
    if environment.get("LD_LIBRARY_PATH"):
        libraries.append(environment["LD_LIBRARY_PATH"])
    environment |= {
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
        "PYTHONPATH": ":".join(filter(None, sys.path)),
        "PATH": f"{Path(sys.executable).parent}:{environment.get('PATH', '')}",
        # A version never changes: another Triton that polls it would load it again.
        "PYTHONDONTWRITEBYTECODE": "1",
        # glibc returns memory of this size to the system after each batch and faults it in
        # again for the next; kept, it costs a third less system time.
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TOP_PAD_": str(64 << 20),
    }
    # Threads that spin for each other stall when another process wants their core: with one
    # busy neighbour on two cores this is 5 times faster (docs/architecture.md).
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What oneDNN makes for each number of tokens, which hardly repeats: the 1,024 that it would
    # keep are 2 GB, and no faster (docs/benchmarks.md).
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        environment.setdefault(cache, "128")
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    return environment


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
