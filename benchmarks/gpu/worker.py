"""The process that measures: sections come over a pipe, rows go back as they are ready.

It is a process of its own so that a section which hangs, crashes or breaks the CUDA context takes
nothing with it: the caller ends this process and starts another for the next section.
"""

from __future__ import annotations

import platform
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import numpy as np
import torch

from gpu.bench import Bench
from gpu.options import Deadline, MissingError, Options, Row
from gpu.sections import ContextLostError, attention, batch_sizes, padding, precision, told
from gpu.service import service

SECTIONS: dict[str, Callable[[Bench, Deadline], Iterator[Row]]] = {
    "padding": padding,
    "precision": precision,
    "batch sizes": batch_sizes,
    "attention": attention,
    "service": service,
}


def serve(connection: Connection, options: Options) -> None:
    """Answer ("section", seconds) with ("row", …)… and ("done" | "missing" | "failed", why)."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    warnings.simplefilter("ignore")  # prototypes and tracers warn of themselves
    try:
        bench = Bench(options)
        connection.send(("machine", machine(bench)))
    except (MissingError, RuntimeError, AssertionError, ValueError) as error:
        connection.send(("failed", str(error)))
        return
    while True:
        try:
            if (work := connection.recv()) is None:
                return
        except EOFError:  # the caller is gone
            return
        name, seconds = work
        try:
            for row in SECTIONS[name](bench, Deadline.after(seconds)):
                connection.send(("row", row))
            connection.send(("done", ""))
        except MissingError as error:
            connection.send(("missing", str(error)))
        except ContextLostError as error:
            connection.send(("failed", str(error)))
            return
        except Exception as error:  # its reason is the section's result; the next one may work
            connection.send(("failed", told(error)))


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
