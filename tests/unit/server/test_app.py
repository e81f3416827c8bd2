"""What the wiring says of the version that serves, and what the gate refuses to start with."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server import app
from spanqa_server.errors import StartupError
from spanqa_server.grpc_api.items import ServedModel
from spanqa_server.settings import Settings
from spanqa_server.triton_settings import GateSettings
from spanqa_server.versions.repository import Figures, load_version
from unit.server.qa.played import NoThreads
from unit.server.version_files import MANIFEST, write_version

LIMITS: dict[str, Any] = {
    "max_question_tokens": 11,
    "max_context_bytes": 12,
    "max_top_k": 13,
    "max_answer_tokens": 14,
    "max_batch_items": 15,
    "max_documents": 16,
    "max_message_bytes": 1 << 17,
    "max_windows": 18,
    "max_logits_tokens": 1900,
    "max_stream_pairs": 20,
}


def served(repository: Path, **settings: Any) -> ServedModel:
    """Version 7 with these settings."""
    directory = write_version(repository, "7", max_position_embeddings=512, has_no_answer=True)
    triton: Any = None
    return app.served_model(
        Settings.model_validate(settings), load_version(directory), triton, NoThreads()
    )


def test_the_description_names_every_limit_that_the_answerer_keeps(tmp_path: Path) -> None:
    model = served(tmp_path, **LIMITS, default_timeout=2.5)
    described = model.describe()
    limits = pb.ModelLimits(**LIMITS, max_sequence_tokens=512)
    limits.default_timeout.FromMilliseconds(2500)
    assert described.limits == limits
    assert {field.name for field, _ in described.limits.ListFields()} == {
        field.name for field in pb.ModelLimits.DESCRIPTOR.fields
    }
    not_of_the_api = {"max_id_bytes", "max_window_tokens"}
    for field in model.answerer.limits.__dataclass_fields__.keys() - not_of_the_api:
        assert getattr(model.answerer.limits, field) == getattr(described.limits, field)
    assert (described.version, described.checksum) == ("7", MANIFEST["model_sha256"])
    for field in ("name", "source", "revision", "license", "dtype", "f1"):
        assert getattr(described, field) == MANIFEST[field]
    assert (described.max_sequence_tokens, described.doc_stride_tokens) == (384, 128)
    assert model.answerer.model.max_sequence_tokens == 384
    assert described.has_no_answer
    assert not described.HasField("exact_match")


def test_the_description_has_what_was_measured_last(tmp_path: Path) -> None:
    version = load_version(write_version(tmp_path, "7", exact_match=None, f1=None))
    triton: Any = None
    describe = app.served_model(Settings(), version, triton, NoThreads()).describe
    assert not describe().HasField("exact_match")
    assert not describe().HasField("f1")
    version.figures = Figures(70.5, 80.25)
    assert (describe().exact_match, describe().f1) == (70.5, 80.25)


@pytest.mark.parametrize("seconds", [1e-9, 0.001, 60, 1e9])
def test_every_timeout_can_be_described(tmp_path: Path, seconds: float) -> None:
    described = served(tmp_path, default_timeout=seconds).describe()
    assert described.limits.default_timeout.ToNanoseconds() == round(seconds * 1e9)


def test_metrics_name_the_version_that_serves_and_no_other(tmp_path: Path) -> None:
    def named() -> list[dict[str, str]]:
        [metric] = [one for one in REGISTRY.collect() if one.name == "spanqa_model"]
        return [sample.labels for sample in metric.samples if sample.value == 1]

    report = app.report_switches()
    for number in ("1", "2"):
        report(load_version(write_version(tmp_path, number)))
        assert named() == [{"name": "tiny", "version": number, "dtype": "float32"}]


@pytest.mark.parametrize("addresses", ["", "a:8001,b:8001"])
async def test_each_triton_has_a_gate_of_its_own(addresses: str) -> None:
    settings = GateSettings.model_validate({"triton": addresses})
    with pytest.raises(StartupError, match="--triton must name one Triton"):
        await app.keep_gate(settings)
