"""What GetModel answers: the version that serves, and every limit."""

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
    timeout = Duration()
    timeout.FromNanoseconds(round(settings.default_timeout * 1e9))
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
        exact_match=manifest.exact_match,
        f1=manifest.f1,
        limits=pb.ModelLimits(
            max_question_tokens=limits.max_question_tokens,
            max_context_bytes=limits.max_context_bytes,
            max_top_k=limits.max_top_k,
            max_answer_tokens=limits.max_answer_tokens,
            max_sequence_tokens=limits.max_sequence_tokens,
            max_batch_items=settings.max_batch_items,
            max_documents=limits.max_documents,
            max_message_bytes=settings.max_message_bytes,
            max_windows=limits.max_windows,
            max_logits_tokens=limits.max_logits_tokens,
            max_stream_pairs=settings.max_stream_pairs,
            default_timeout=timeout,
        ),
    )
