"""What the wiring tells of the version that serves."""

from pathlib import Path

from prometheus_client import REGISTRY

from spanqa_server import app
from spanqa_server.versions.repository import load_version
from unit.server.version_files import write_version


def test_metrics_name_the_version_that_serves_and_no_other(tmp_path: Path) -> None:
    def named() -> list[dict[str, str]]:
        [metric] = [one for one in REGISTRY.collect() if one.name == "spanqa_model"]
        return [sample.labels for sample in metric.samples if sample.value == 1]

    switches = REGISTRY.get_sample_value("spanqa_model_switches_total") or 0.0
    tell = app.report_switches()
    for number in ("1", "2"):
        tell(load_version(write_version(tmp_path, number)))
        assert named() == [{"name": "tiny", "version": number, "dtype": "float32"}]
    assert REGISTRY.get_sample_value("spanqa_model_switches_total") == switches + 2
