"""The command line and the environment of the embedded Triton."""

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

# In Triton's own directory: what it polls, and its backends.
REPOSITORY, BACKENDS = "repository", "backends"
# What it and the model need of this process's environment. The rest, such as tokens and keys of
# whoever started the server, is none of their business.
INHERITED = {"HOME", "LANG", "TMPDIR", "TZ", "PYTHONHOME", "GLIBC_TUNABLES", "LRU_CACHE_CAPACITY"}
INHERITED_PREFIXES = (
    *("ATEN_", "CUDA_", "DNNL_", "GOMP_", "KMP_", "LC_", "LD_", "MALLOC_"),
    *("MKL_", "OMP_", "ONEDNN_", "TORCH_"),
)
# Of its exporter of traces: headers, certificates, sizes.
OF_TRACES = "OTEL_"


def triton_command(
    package: Path, directory: Path, address: str, metrics_address: str = ""
) -> list[str]:
    """The program of the wheel, which sees a directory of ours and listens at an address.

    Both addresses have a number behind their last colon, as those of TCP: Triton takes no other.
    """
    host, _, port = address.rpartition(":")
    return [
        str(package / "bin" / "tritonserver"),
        f"--model-repository={directory / REPOSITORY}",
        "--model-config-name=embedded",
        "--model-control-mode=poll",
        "--repository-poll-secs=1",
        "--disable-auto-complete-config",
        f"--backend-directory={directory / BACKENDS}",
        f"--grpc-address={host}",
        f"--grpc-port={port}",
        "--allow-http=false",
        *metrics_flags(metrics_address),
        "--exit-timeout-secs=2",
        "--log-info=false",
        "--log-warning=false",
    ]


def metrics_flags(address: str) -> list[str]:
    """Serve the model's metrics at this address, if there is one."""
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
    """Trace the requests that come with a trace context, and no others."""
    if not endpoint:
        return []
    settings = {
        "mode": "opentelemetry",
        "opentelemetry,url": f"{endpoint}/v1/traces",
        "level": "TIMESTAMPS",
        "rate": "0",
    }
    return [f"--trace-config={name}={value}" for name, value in settings.items()]


def triton_environment(
    package: Path, threads: int, given: Mapping[str, str] = os.environ, *, traces: bool = False
) -> dict[str, str]:
    """What Triton and the stub need: libraries, packages, and the settings of these.

    Args:
        package: the program of the wheel.
        threads: number of the model's threads; 0 means one per core.
        given: the environment of this process.
        traces: whether Triton exports traces.
    """
    site_packages = package.parent.parent
    libraries = [str(site_packages / "nvidia_pytriton.libs"), sysconfig.get_config_var("LIBDIR")]
    prefixes = (*INHERITED_PREFIXES, OF_TRACES) if traces else INHERITED_PREFIXES
    environment = {
        name: value
        for name, value in given.items()
        if name in INHERITED or name.startswith(prefixes)
    }
    if environment.get("LD_LIBRARY_PATH"):
        libraries.append(environment["LD_LIBRARY_PATH"])
    environment |= {
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
        "PYTHONPATH": ":".join(filter(None, sys.path)),
        "PATH": f"{Path(sys.executable).parent}:{given.get('PATH', '')}",
        # glibc returns memory of this size to the system after each batch and faults it in
        # again for the next; kept, it costs a third less system time.
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
        "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
        "MALLOC_TOP_PAD_": str(64 << 20),
    }
    # Threads that spin for each other stall when another process wants their core. Beside one
    # busy process, on two cores, this is 5 times faster (docs/architecture.md).
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # oneDNN keeps the programs that it makes for each shape. Most modules have some hundreds, wide
    # ones in int8 some for each length of a window.
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        environment.setdefault(cache, "2048")
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    return environment
