"""Memory, descriptors and CPU time of a server's processes, over time."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from time import monotonic

import psutil

from support.processes import RunningServer


@dataclass
class Curve:
    """Of one process."""

    name: str
    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    cpu_seconds: float = 0.0


class Sampler:
    """Looks at every process of a server, now and then."""

    def __init__(self, server: RunningServer, every: float) -> None:
        self._server = server
        self._every = every
        self._begin = monotonic()
        self.curves: dict[int, Curve] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(self._every)

    def look(self) -> None:
        """Take one sample of each."""
        processes = [psutil.Process(self._server.process.pid), *self._server.children()]
        for process in processes:
            try:
                with process.oneshot():
                    curve = self.curves.setdefault(process.pid, Curve(kind(process)))
                    times = process.cpu_times()
                    curve.seconds.append(monotonic() - self._begin)
                    curve.megabytes.append(process.memory_info().rss / 2**20)
                    curve.descriptors.append(process.num_fds())
                    curve.cpu_seconds = times.user + times.system
            except psutil.NoSuchProcess:
                continue

    def by_name(self) -> dict[str, Curve]:
        """Names that several processes have get a number."""
        found: defaultdict[str, list[Curve]] = defaultdict(list)
        for curve in self.curves.values():
            found[curve.name].append(curve)
        return {
            name if len(curves) == 1 else f"{name} {number}": curve
            for name, curves in found.items()
            for number, curve in enumerate(curves, 1)
        }


def kind(process: psutil.Process) -> str:
    """What a process of a server is."""
    name = process.name()
    if name == "tritonserver":
        return "Triton"
    if name.startswith("triton_python"):
        return "model"
    command = " ".join(process.cmdline())
    if "/processes/guard.py" in command:
        return "guard"
    return "worker" if "spanqa_server.workers.child" in command else "frontend"
