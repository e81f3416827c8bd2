"""What a served version tells of itself."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.app import served_model
from spanqa_server.settings import Settings
from spanqa_server.versions.repository import load_version
from unit.server.qa.played import NoThreads
from unit.server.version_files import MANIFEST, write_version

CHANGED: dict[str, Any] = {
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


def test_the_description_names_every_limit(tmp_path: Path) -> None:
    settings = Settings.model_validate(CHANGED | {"default_timeout": 2.5})
    directory = write_version(tmp_path, "7", max_position_embeddings=512, has_no_answer=True)
    triton: Any = SimpleNamespace()
    model = served_model(settings, load_version(directory), triton, NoThreads())
    told = model.description
    limits = pb.ModelLimits(**CHANGED, max_sequence_tokens=512)
    limits.default_timeout.FromMilliseconds(2500)
    assert told.limits == limits
    assert {field.name for field, _ in told.limits.ListFields()} == {
        field.name for field in pb.ModelLimits.DESCRIPTOR.fields
    }
    assert (told.version, told.checksum) == ("7", MANIFEST["model_sha256"])
    for field in ("name", "source", "revision", "license", "dtype", "f1"):
        assert getattr(told, field) == MANIFEST[field]
    assert (told.max_sequence_tokens, told.doc_stride_tokens) == (384, 128)
    assert told.has_no_answer
    assert not told.HasField("exact_match")


def test_the_answerer_keeps_the_limits_that_are_told(tmp_path: Path) -> None:
    settings = Settings.model_validate(CHANGED)
    triton: Any = SimpleNamespace()
    version = load_version(write_version(tmp_path, "7", max_position_embeddings=512))
    model = served_model(settings, version, triton, NoThreads())
    for field in model.answerer.limits.__dataclass_fields__:
        assert getattr(model.answerer.limits, field) == getattr(model.description.limits, field)
    assert model.answerer.model.max_sequence_tokens == 384


@pytest.mark.parametrize("seconds", [1e-9, 0.001, 60, 1e9])
def test_every_timeout_can_be_told(tmp_path: Path, seconds: float) -> None:
    triton: Any = SimpleNamespace()
    version = load_version(write_version(tmp_path, "7"))
    settings = Settings.model_validate({"default_timeout": seconds})
    model = served_model(settings, version, triton, NoThreads())
    assert model.description.limits.default_timeout.ToNanoseconds() == round(seconds * 1e9)
