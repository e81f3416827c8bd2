"""The metrics of several worker processes as those of one service."""

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead


class WorkerMetrics:
    """The metrics of all workers as those of one service."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.registry = CollectorRegistry()
        WorkersCollector(self.registry, directory)  # type: ignore[no-untyped-call]
        self._ends = Counter(
            "spanqa_worker_ends", "Workers that died and were replaced.", registry=self.registry
        )

    def forget(self, pid: int) -> None:
        """The worker has died: what it had under way no longer counts."""
        mark_process_dead(pid, self.directory)  # type: ignore[no-untyped-call]
        self._ends.inc()


class WorkersCollector(MultiProcessCollector):
    """Leaves out files that a worker has only just made: the library's collector fails on them."""

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in Path(self._path).glob("*.db") if has_content(file)]
        metrics: Iterable[Metric] = self.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return metrics


def has_content(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False
