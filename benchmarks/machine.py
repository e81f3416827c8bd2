"""What a benchmark ran on."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path


def machine() -> dict[str, object]:
    """Processor, number of cores, Python version."""
    model = ""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}
