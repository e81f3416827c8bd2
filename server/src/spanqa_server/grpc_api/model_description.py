"""What GetModel answers: the version that serves, and every limit."""

from dataclasses import asdict

from google.protobuf.duration_pb2 import Duration

from spanqa.v1 import question_answering_pb2 as pb
from spanqa_server.qa.requests import Limits
from spanqa_server.settings import Settings
from spanqa_server.versions.repository import ModelVersion


def describe_model(
    version: ModelVersion, limits: Limits, settings: Settings
) -> pb.GetModelResponse:
    """What GetModel answers."""
    manifest = version.manifest
    return pb.GetModelResponse(
        name=manifest.name,
        version=version.number,
        checksum=manifest.model_sha256,
        source=manifest.source,
        revision=manifest.revision,
        license=manifest.license,
        dtype=manifest.dtype,
        max_sequence_tokens=manifest.max_sequence_tokens,
        doc_stride_tokens=manifest.doc_stride_tokens,
        has_no_answer=manifest.has_no_answer,
        exact_match=version.figures.exact_match,
        f1=version.figures.f1,
        limits=describe_limits(limits, settings),
    )


def describe_limits(limits: Limits, settings: Settings) -> pb.ModelLimits:
    """Each field has the limit, or else the setting, of its name."""
    timeout = Duration()
    timeout.FromNanoseconds(round(settings.default_timeout * 1e9))
    known = settings.model_dump() | asdict(limits)
    names = set(pb.ModelLimits.DESCRIPTOR.fields_by_name) - {"default_timeout"}
    return pb.ModelLimits(default_timeout=timeout, **{name: known[name] for name in names})
