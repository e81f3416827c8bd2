"""How often something was counted during a test."""

from prometheus_client import REGISTRY


class Counters:
    """Differences of Prometheus counters since this was made."""

    def __init__(self) -> None:
        self._before = self._read()

    def _read(self) -> dict[tuple[str, str, str], float]:
        return {
            (sample.name, sample.labels["method"], sample.labels["code"]): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
            if sample.name in ("spanqa_calls_total", "spanqa_items_total")
        }

    def _since(self, name: str) -> dict[tuple[str, str], int]:
        found = {}
        for (kind, method, code), value in self._read().items():
            more = int(value - self._before.get((kind, method, code), 0))
            if kind == name and more:
                found[method, code] = more
        return found

    @property
    def calls(self) -> dict[tuple[str, str], int]:
        return self._since("spanqa_calls_total")

    @property
    def items(self) -> dict[tuple[str, str], int]:
        return self._since("spanqa_items_total")
