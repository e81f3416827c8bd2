"""One section of the GPU benchmark in a process of its own: `run.py` starts it.

So a section that hangs, crashes or breaks the CUDA context takes no other with it. Rows are written
to a file, a line of JSON each, as soon as they are measured.
"""

from __future__ import annotations

import json
import platform
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.model import attention, batch_sizes, padding, precision, reason
from benchmarks.gpu.options import Deadline, MissingError, Options, Row
from benchmarks.gpu.service import service
from benchmarks.gpu.vllm_model import vllm

SECTIONS: dict[str, Callable[[Bench, Deadline], Iterator[Row]]] = {
    "padding": padding,
    "precision": precision,
    "batch sizes": batch_sizes,
    "attention": attention,
    "vLLM": vllm,
    "service": service,
}


def main(name: str, deadline: float, file: Path, options: Options) -> None:
    """Write {"machine": …}, {"row": …}… and {"end": [status, reason]}."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    warnings.simplefilter("ignore")  # prototypes and tracers warn of themselves
    with file.open("w") as lines:

        def write(kind: str, content: Any) -> None:
            print(json.dumps({kind: content}), file=lines, flush=True)

        try:
            bench = Bench(options)
            write("machine", machine(bench))
            for row in SECTIONS[name](bench, Deadline(deadline)):
                write("row", row)
                print(f"  {progress(row)}", file=sys.stderr, flush=True)
            write("end", ["done", ""])
        except MissingError as error:
            write("end", ["missing", str(error)])
        except Exception as error:  # the section's result; the next one may work
            write("end", ["failed", reason(error)])


def progress(row: Row) -> str:
    """A row's name and how it did."""
    name, rate = next(iter(row.values())), row.get("windows_per_second")
    return f"{name}: {row['failed']}" if rate is None else f"{name}: {rate:,.4g} windows/s"


def machine(bench: Bench) -> dict[str, object]:
    """What it runs on, and what goes through the model."""
    known: dict[str, object] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "device": "cpu",
        "windows": bench.windows.source,
        "mean_window_tokens": float(bench.windows.window_lengths.mean()),
    }
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        known |= {
            "device": properties.name,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_gib": properties.total_memory / 2**30,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return known


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(
        given["section"],
        given["deadline"],
        Path(given["file"]),
        Options(given["device"], given["small"], Path(given["data"])),
    )
