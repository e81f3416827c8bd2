"""The CPU of this machine, on which the embedded Triton computes."""

from pathlib import Path

from spanqa_server.versions.host import Machine

INSTRUCTIONS = {
    "bfloat16": {"avx512_bf16", "amx_bf16"},
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8"},
}


def this_cpu(information: Path = Path("/proc/cpuinfo")) -> Machine:
    """What it computes natively, as far as Linux says."""
    try:
        lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return Machine("cpu")
    flags = next((line.split() for line in lines if line.startswith("flags")), None)
    if flags is None:
        return Machine("cpu")
    native = [dtype for dtype, names in INSTRUCTIONS.items() if names.intersection(flags)]
    return Machine("cpu", frozenset(["float32", *native]))
